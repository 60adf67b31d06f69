"""The floors of the house: which room may import which, and what no room imports when it is entered."""

import subprocess
import sys
from typing import Any

import pytest

HEAVY = {
    "av", "cv2", "diffusers", "faiss", "open_clip", "ray", "scenedetect", "torch", "torchvision",
    "transformers",
}  # fmt: skip
ANY = "any package of others"

# Room: what it may import of ours, and of others. The longest name that fits a file is its room.
FLOORS: dict[str, tuple[set[str], set[str] | str]] = {
    "manifests": ({"manifests"}, {"pyarrow", "fsspec"}),
    "pipeline": ({"manifests", "pipeline"}, {"pyarrow", "yaml", "rich", "psutil"}),
    "pipeline.executors.on_ray": ({"manifests", "pipeline"}, {"pyarrow", "ray"}),
    "stages": ({"manifests", "pipeline face", "stages.media", "stages.models"}, ANY),
    "stages.recipes": ({"manifests", "pipeline", "stages"}, set()),
    "stages.shots.learning": (
        {"manifests", "stages.media", "stages.scan", "stages.shots", "stages.footage"},
        ANY,
    ),
    "stages.latents": (
        {
            "manifests",
            "pipeline face",
            "stages.media",
            "stages.models",
            "training.tokenizer",
            "training.tokenizers",
        },
        ANY,
    ),
    "stages.models_trained": (
        {"manifests", "pipeline face", "stages.media", "training.recipes", "training.callbacks.loss_curve"},
        ANY,
    ),
    "training": ({"manifests", "training"}, ANY),
}
NEVER = {"manifests": HEAVY | {"numpy"}, "pipeline": HEAVY - {"ray"}, "stages": {"ray"}, "training": {"ray"}}
OURS = ("manifests", "pipeline", "stages", "training")


def _inside(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def _room(module: str) -> str:
    """The room of a file: the longest floor that fits, or its subject among the stages."""
    room = max((floor for floor in FLOORS if _inside(module, floor)), key=len)
    return ".".join(module.split(".")[:2]) if room == "stages" else room


def _allowed(module: str, wanted: str) -> bool:
    """Whether the file `module` may import `wanted`."""
    top, package = wanted.split(".")[0], module.split(".")[0]
    if top == "":
        return False  # imports are absolute
    if top in sys.stdlib_module_names:
        return True
    room = _room(module)
    ours, others = FLOORS[room] if room in FLOORS else FLOORS["stages"]
    if top in OURS:
        face = top == "pipeline" and wanted.count(".") == 1 and wanted.split(".")[1][:1].isupper()
        return (
            _inside(wanted, room)
            or any(_inside(wanted, name) for name in ours)
            or (face and "pipeline face" in ours)
        )
    return top not in NEVER[package] and (others == ANY or top in others)


def test_every_room_imports_only_what_its_floor_allows(ours: Any) -> None:
    wrong = [
        f"{file.path}:{i.line} imports {i.name}"
        for file in ours
        for i in file.imports
        if not _allowed(file.module, i.name)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "wanted", "allowed"),
    [
        ("manifests.row", "json", True),
        ("manifests.row", "numpy", False),
        ("manifests.row", "pipeline.Dag", False),
        ("pipeline.planning.plan", "ray", False),
        ("pipeline.planning.plan", "stages.scan", False),
        ("pipeline.executors.on_ray.pool", "ray.util", True),
        ("stages.scan.scan_video", "pipeline.Annotate", True),
        ("stages.scan.scan_video", "pipeline.stage.Annotate", False),
        ("stages.scan.scan_video", "stages.scan.meter", True),
        ("stages.scan.scan_video", "stages.shots.find_shots", False),
        ("stages.scan.scan_video", "stages.media.decoding.video", True),
        ("stages.scan.scan_video", "training.tokenizer", False),
        ("stages.latents.encode_latents", "training.tokenizer.Tokenizer", True),
        ("stages.latents.encode_latents", "training.loop", False),
        ("stages.recipes.curate", "stages.scan.scan_video", True),
        ("training.loop.trainer", "ray", False),
        ("training.loop.trainer", "pipeline.Dag", False),
        ("training.loop.trainer", ".noise", False),
    ],
)
def test_the_floors_themselves(module: str, wanted: str, allowed: bool) -> None:
    assert _allowed(module, wanted) is allowed


def test_no_file_imports_a_circle(ours: Any) -> None:
    """Imports for type checkers count, since a reader follows them too; those inside functions do not."""
    modules = {file.module for file in ours}
    reaches = {
        file.module: {
            home for i in file.imports if i.top and (home := _home(i.name, modules)) != file.module and home
        }
        for file in ours
    }
    assert _in_circles(reaches) == []


def test_the_search_for_circles_finds_them() -> None:
    assert _in_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"e"}, "e": set()}) == ["a", "b", "c"]
    assert _in_circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def _in_circles(reaches: dict[str, set[str]]) -> list[str]:
    """The modules on a circle, or from which one is reached."""
    while ends := {name for name, wanted in reaches.items() if not wanted & set(reaches)}:
        reaches = {name: wanted for name, wanted in reaches.items() if name not in ends}
    return sorted(reaches)


def _home(name: str, modules: set[str]) -> str:
    """The module that an imported name comes from, or "" if it is not ours."""
    parent = name.rpartition(".")[0]
    return name if name in modules else parent if parent in modules else ""


def test_heavy_packages_are_imported_where_they_are_used(ours: Any) -> None:
    """Training is all torch, but its faces are not; Ray's room is entered only to use Ray."""
    wrong = [
        f"{file.path}:{i.line} imports {i.name} at its top"
        for file in ours
        for i in file.imports
        if i.top
        and not i.typing
        and i.name.split(".")[0] in HEAVY
        and (file.is_package_init or not file.path.startswith(("training/", "pipeline/executors/on_ray/")))
    ]
    assert wrong == []


def _loaded_after(words: str, *suspects: str) -> list[str]:
    """Which of these packages a fresh Python has loaded after these words."""
    ask = f"{words}\nimport sys\nprint('loaded:', *(m for m in {suspects!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_faces_load_nothing_heavy(ours: Any) -> None:
    faces = [file.module for file in ours if file.is_package_init and ".on_ray" not in file.module]
    assert _loaded_after(f"import {', '.join(faces)}", *sorted(HEAVY)) == []


def test_help_loads_next_to_nothing() -> None:
    words = "from pipeline.cli import main\nassert main(['--help']) == 0"
    assert _loaded_after(words, "torch", "ray", "av", "pyarrow", "numpy", "rich", "yaml") == []


@pytest.mark.parametrize("verb", ["train", "sample", "evaluate", "export"])
def test_training_verbs_load_no_ray(verb: str) -> None:
    words = f"from pipeline.cli import main\nassert main([{verb!r}, '--help']) == 0"
    assert _loaded_after(words, "ray", "pipeline.dag", "stages") == []
