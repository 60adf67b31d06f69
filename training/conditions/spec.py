"""What actions, camera poses and trajectories mean: a contract that shards and model files state.

The footer of a shard has under "conditions" a JSON object, equal for all shards of a set:

    rate         frames per second: an action moves one frame to the next
    action       names, units, frame (of reference), mean and std of each value over the training split
    camera_pose  unit of the translations: "m" of metric poses, another word where the scale is arbitrary
    trajectory   points, step_s (s between them), unit and frame (of reference) of the places ahead

A model file has the same object, with `scale` in "camera_pose" and "trajectory", and a digest.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.errors import LatentMismatchError

ACTION, CAMERA, TRAJECTORY = "action", "camera", "trajectory"
CONDITIONS = (ACTION, CAMERA, TRAJECTORY)
_KEYS = {ACTION: "action", CAMERA: "camera_pose", TRAJECTORY: "trajectory"}  # in the footer
METRIC_UNIT = "m"
REMEDY = "use data that were recorded and packed in the same way, or train a model of their own on them"


@dataclass(frozen=True)
class ActionSpec:
    """The values of an action.

    Attributes:
        names: Name of each value.
        units: Unit of each value.
        frame: Frame of reference of the values.
        mean: What is subtracted from each value.
        std: What each value is then divided by; a value that is constant (0) is divided by 1.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    frame: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("names", "units", "mean", "std"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        sizes = {name: len(getattr(self, name)) for name in ("names", "units", "mean", "std")}
        if not self.names or len(set(sizes.values())) > 1:
            raise ValueError(f"the action has {sizes}; each must have one entry per value")
        if min(self.std) < 0:
            raise ValueError(f"the standard deviations of the action are {self.std}; none is below 0")


@dataclass(frozen=True)
class CameraSpec:
    """The poses of the camera.

    Attributes:
        unit: Unit of the translations.
        scale: Length in this unit by which translations are divided. 0: the longest distance of the camera
            from its first position in each clip, for poses whose scale is another one in each scene.
    """

    unit: str
    scale: float


@dataclass(frozen=True)
class TrajectorySpec:
    """The places ahead of the car after the first frame of a clip.

    Attributes:
        points: Number of places.
        step_s: Time between them in s; the first is one step after the first frame.
        unit: Unit of the coordinates.
        frame: Frame of reference of the coordinates.
        scale: Length in this unit by which coordinates are divided.
    """

    points: int
    step_s: float
    unit: str
    frame: str
    scale: float


@dataclass(frozen=True)
class ConditionSpec:
    """The per-frame conditions of a data set or of a model.

    Attributes:
        rate: Frames per second.
        action: The actions; None without any.
        camera: The camera; None without any.
        trajectory: The trajectory; None without any.
    """

    rate: float
    action: ActionSpec | None = None
    camera: CameraSpec | None = None
    trajectory: TrajectorySpec | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Which of `CONDITIONS` there are."""
        return tuple(name for name in CONDITIONS if getattr(self, name) is not None)

    @property
    def camera_scale(self) -> float:
        """`CameraSpec.scale`; 0 without a camera."""
        return self.camera.scale if self.camera else 0.0

    @property
    def trajectory_scale(self) -> float:
        """`TrajectorySpec.scale`; 1 without a trajectory."""
        return self.trajectory.scale if self.trajectory else 1.0

    def to_json(self) -> dict[str, Any]:
        """What a model file stores, with a digest of it."""
        values: dict[str, Any] = {"rate": self.rate}
        if self.action is not None:
            values["action"] = {k: list(v) if k != "frame" else v for k, v in asdict(self.action).items()}
        if self.camera is not None:
            values["camera_pose"] = asdict(self.camera)
        if self.trajectory is not None:
            values["trajectory"] = asdict(self.trajectory)
        text = json.dumps(values, sort_keys=True)
        return values | {"digest": hashlib.sha256(text.encode()).hexdigest()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ConditionSpec":
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: It did not.
        """
        action, camera, trajectory = (values.get(key) for key in _KEYS.values())
        spec = cls(
            float(values["rate"]),
            ActionSpec(**action) if action else None,
            CameraSpec(**camera) if camera else None,
            TrajectorySpec(**trajectory) if trajectory else None,
        )
        if spec.to_json()["digest"] != values["digest"]:
            raise ValueError("the digest of the conditions is not that of their values")
        return spec

    def check(self, other: "ConditionSpec", where: str, source: str = "the model") -> None:
        """Refuse data whose conditions are not these, field by field.

        Args:
            other: The conditions of the data.
            where: The data.
            source: What has these conditions.

        Raises:
            LatentMismatchError: A field differs.
        """
        for field, own, found in _fields(self, other):
            if own != found:
                raise LatentMismatchError(
                    f"the conditions do not match: {field} is {_text(found)}, but {_text(own)} in {source}",
                    where=where,
                    remedy=REMEDY,
                )

    def check_contained(self, other: "ConditionSpec | None", source: str) -> None:
        """Refuse data that lack one of these conditions, or have another one of its name; they may have more.

        Without actions the rate may be another one: poses and trajectories mean the same at every rate.

        Raises:
            LatentMismatchError: They do.
        """
        names = other.names if other else ()
        if other is None or set(self.names) - set(names):
            raise LatentMismatchError(
                f"{source} reads {' and '.join(self.names)}, and conditions is {','.join(names) or 'empty'}",
                remedy=f"set conditions={','.join(sorted({*names, *self.names}))}",
            )
        known = {name: getattr(other, name) for name in self.names}
        rate = self.rate if self.action is None else other.rate
        self.check(ConditionSpec(rate, **known), "data", source)


def read_spec(
    footer: Mapping[str, Any] | None,
    names: Sequence[str],
    fps: float,
    camera_scale: float,
    where: str,
    trajectory_scale: float = 1.0,
) -> ConditionSpec:
    """The conditions that the footer of a shard states.

    Args:
        footer: Its object "conditions".
        names: Which of `CONDITIONS` are read.
        fps: Frame rate of the clips.
        camera_scale: `CameraSpec.scale`; 0 takes 1 m of metric poses, and else the distance in each clip.
        where: The shard.
        trajectory_scale: `TrajectorySpec.scale`.

    Raises:
        LatentMismatchError: It does not state one of them, or in another form, or their rate is not `fps`.
    """
    for name in names:
        if not footer or _KEYS[name] not in footer:
            raise LatentMismatchError(
                f"the clips have no {_KEYS[name]}",
                where=where,
                remedy="put NAME.conditions.parquet beside each video, and add the step AddConditions before"
                " PackLatents",
            )
    assert footer is not None
    try:
        rate = float(footer["rate"])
        action = footer["action"] if ACTION in names else None
        fields = ("names", "units", "frame", "mean", "std")
        spec = ActionSpec(**{field: action[field] for field in fields}) if action else None
        camera = None
        if CAMERA in names:
            unit = str(footer["camera_pose"]["unit"])
            camera = CameraSpec(unit, camera_scale or float(unit == METRIC_UNIT))
        trajectory = None
        if TRAJECTORY in names:
            stated = footer["trajectory"]
            of_points = int(stated["points"]), float(stated["step_s"])
            trajectory = TrajectorySpec(
                *of_points, str(stated["unit"]), str(stated["frame"]), trajectory_scale
            )
    except (KeyError, TypeError, ValueError) as error:
        raise LatentMismatchError(
            f"the index does not describe the conditions of its clips: {type(error).__name__}: {error}",
            where=where,
            remedy="pack the latents again with PackLatents of this version",
        ) from error
    if abs(rate / fps - 1) > 1e-6:
        raise LatentMismatchError(
            f"the conditions have a rate of {rate:g} per second, and the clips {fps:g} frames per second",
            where=where,
            remedy="encode the clips at the rate of the conditions",
        )
    return ConditionSpec(rate, spec, camera, trajectory)


def _fields(one: ConditionSpec, other: ConditionSpec) -> list[tuple[str, Any, Any]]:
    """The values of each field in both; a part that one of them lacks is one field, the size comes first."""
    found: list[tuple[str, Any, Any]] = [("rate", one.rate, other.rate)]
    for name in CONDITIONS:
        own, others = getattr(one, name), getattr(other, name)
        if own is None or others is None:
            found.append((name, own and "present", others and "present"))
            continue
        if name == ACTION:
            found.append(("size of action", len(own.names), len(others.names)))
        values, other_values = asdict(own), asdict(others)
        found += [(f"{field} of {name}", values[field], other_values[field]) for field in values]
    return found


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{each:.6g}" if isinstance(each, float) else str(each) for each in value)
    return "absent" if value is None else str(value)
