"""Parts of MuJoCo models as MJCF: numbers, materials with textures, and light that does not move."""

from collections.abc import Iterable

# Ambient light on all sides. No shadows: their map of 4096 px limits a CPU to 10 frames/s.
VISUAL = """<visual><headlight ambient=".8 .8 .8" diffuse="0 0 0" specular="0 0 0"/>
  <quality shadowsize="0"/><map znear=".02" zfar="100"/></visual><statistic extent="1"/>"""

SKY = '<texture type="skybox" builtin="gradient" rgb1=".75 .8 .85" rgb2=".55 .6 .65" width="64" height="64"/>'


def numbers(values: Iterable[float]) -> str:
    """Numbers with all their digits."""
    return " ".join(repr(float(value)) for value in values)


def surface_material(name: str, per_m: float) -> str:
    """The material of a flat surface, which repeats the texture `name`.png so many times per m."""
    return (
        f'<texture name="{name}" type="2d" file="{name}.png"/><material name="{name}" texture="{name}"'
        f' texuniform="true" texrepeat="{per_m} {per_m}" specular="0"/>'
    )


def object_material(name: str) -> str:
    """The material of an object, which has the texture `name`.png on all sides."""
    return (
        f'<texture name="{name}" type="cube" file="{name}.png"/>'
        f'<material name="{name}" texture="{name}" specular="0"/>'
    )


def sun(direction: Iterable[float]) -> str:
    """A light that shines everywhere in a direction."""
    return (
        f'<light pos="0 0 9" dir="{numbers(direction)}" type="directional" diffuse=".3 .3 .3"'
        ' specular="0 0 0" castshadow="false"/>'
    )
