"""Layers: which package may import which, and which packages are not loaded when a package is imported."""

import subprocess
import sys
from typing import Any

import pytest

HEAVY = {
    "av", "cv2", "diffusers", "faiss", "open_clip", "ray", "scenedetect", "torch", "torchvision",
    "transformers",
}  # fmt: skip
ANY = "any external package"
PUBLIC = "pipeline: public names"  # names such as `pipeline.Annotate`, but not its modules

# Package: our packages and the external packages that it may import. The longest matching name applies.
PACKAGES: dict[str, tuple[set[str], set[str] | str]] = {
    "manifests": ({"manifests"}, {"pyarrow", "fsspec"}),
    "pipeline": ({"manifests", "pipeline"}, {"pyarrow", "yaml", "rich", "psutil"}),
    "pipeline.report": ({"manifests", "pipeline"}, {"pyarrow", "numpy", "PIL"}),
    "pipeline.verbs.completion": ({"manifests", "pipeline"}, {"argcomplete"}),
    "pipeline.executors.on_ray": ({"manifests", "pipeline"}, {"psutil", "pyarrow", "ray"}),
    "stages": ({"manifests", PUBLIC, "stages.media", "stages.models"}, ANY),
    "stages.recipes": ({"manifests", "pipeline", "stages"}, set()),
    "stages.shots.training": (
        {"manifests", "stages.media", "stages.scan", "stages.shots", "stages.footage"},
        ANY,
    ),
    "stages.simulation": (
        {"manifests", PUBLIC, "stages.media", "stages.models", "stages.conditions", "training.control"},
        ANY,
    ),
    "stages.judge": (
        {
            "manifests",
            PUBLIC,
            "stages.media",
            "stages.models",
            "training.evaluation.world.films",
            "training.evaluation.world.measure",
            "training.metrics.world.flow",
        },
        ANY,
    ),
    "stages.conditions": (
        {
            "manifests",
            PUBLIC,
            "stages.media",
            "stages.latents.read_windows",
            "stages.latents.split_windows",
            "training.metrics.world",
        },
        ANY,
    ),
    "stages.latents": (
        {
            "manifests",
            PUBLIC,
            "stages.media",
            "stages.models",
            "training.tokenizer",
            "training.tokenizers",
            "training.text_encoder",
            "training.text_encoders",
        },
        ANY,
    ),
    "stages.models_trained": (
        {
            "manifests",
            PUBLIC,
            "stages.media",
            "stages.models",
            "training.autoregressive",
            "training.callbacks.loss_curve",
            "training.decoding",
            "training.model",
            "training.recipes",
            "training.settings",
        },
        ANY,
    ),
    "training": ({"manifests", "training"}, ANY),
}
# The layers of `pipeline`, highest first. A module imports its own layer and lower ones.
PIPELINE_LAYERS: tuple[tuple[str, ...], ...] = (
    ("submitted",),
    ("cli",),
    ("verbs",),
    ("run",),
    ("progress",),
    ("preview",),
    ("executors",),
    ("executor",),
    ("engine",),
    ("report",),
    ("history",),
    ("planning",),
    ("recipes",),
    ("events",),
    (
        "added_columns",
        "chunked",
        "column_authors",
        "dag",
        "errors",
        "grouped",
        "needs",
        "row_json",
        "rule",
        "stage",
    ),
)  # fmt: skip
NEVER = {"manifests": HEAVY | {"numpy"}, "pipeline": HEAVY - {"ray"}, "stages": {"ray"}, "training": {"ray"}}
OURS = ("manifests", "pipeline", "stages", "training")


def _inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _package(module: str) -> str:
    """The package of a file: the longest match in `PACKAGES`, or its subpackage of `stages`."""
    package = max((name for name in PACKAGES if _inside(module, name)), key=len)
    return ".".join(module.split(".")[:2]) if package == "stages" else package


def _layer(name: str) -> int | None:
    """The layer of a module of `pipeline`, 0 for the highest; None for the public names of the package."""
    part = name.split(".")[1] if "." in name else ""
    if not part or part[0].isupper():
        return None
    return next(number for number, layer in enumerate(PIPELINE_LAYERS) if part in layer)


def _allowed(module: str, imported: str) -> bool:
    """Whether the file `module` may import `imported`."""
    top, own = imported.split(".")[0], module.split(".")[0]
    if top == "":
        return False  # imports are absolute
    if top in sys.stdlib_module_names:
        return True
    package = _package(module)
    ours, external = PACKAGES.get(package, PACKAGES["stages"])
    if top in OURS:
        public = top == "pipeline" and imported.count(".") == 1 and imported.split(".")[1][:1].isupper()
        return (
            _inside(imported, package)
            or any(_inside(imported, name) for name in ours)
            or (public and PUBLIC in ours)
        )
    return top not in NEVER[own] and (external == ANY or top in external)


def _is_upward(module: str, imported: str) -> bool:
    """Whether the file `module` of `pipeline` imports a higher layer."""
    if not (_inside(module, "pipeline") and _inside(imported, "pipeline")):
        return False
    own, other = _layer(module), _layer(imported)
    return own is not None and other is not None and other < own


def test_every_package_imports_only_what_the_table_allows(ours: Any) -> None:
    wrong = [
        f"{file.path}:{i.line} imports {i.name}"
        for file in ours
        for i in file.imports
        if not _allowed(file.module, i.name)
    ]
    assert wrong == []


def test_no_layer_of_pipeline_imports_a_higher_one(ours: Any) -> None:
    """Imports inside functions and for type checkers count."""
    wrong = [
        f"{file.path}:{i.line} imports {i.name}"
        for file in ours
        for i in file.imports
        if _is_upward(file.module, i.name)
    ]
    assert wrong == []


def test_every_module_of_pipeline_is_in_a_layer(ours: Any) -> None:
    found = {file.module.split(".")[1] for file in ours if file.module.startswith("pipeline.")}
    assert sorted(name for layer in PIPELINE_LAYERS for name in layer) == sorted(found)


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
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
def test_the_package_table(module: str, imported: str, allowed: bool) -> None:
    assert _allowed(module, imported) is allowed


@pytest.mark.parametrize(
    ("module", "imported", "upward"),
    [
        ("pipeline.engine.worker", "pipeline.planning.plan.Plan", False),
        ("pipeline.planning.plan", "pipeline.engine.worker.Worker", True),
        ("pipeline.engine.worker", "pipeline.engine.task.Task", False),
        ("pipeline.engine.steps.rule", "pipeline.executor.Observer", True),
        ("pipeline.executor", "pipeline.engine.schedule.Schedule", False),
        ("pipeline.history.status", "pipeline.report.page", True),
        ("pipeline.run", "pipeline.verbs.run", True),
        ("pipeline.dag", "pipeline.recipes.recipe", True),
        ("stages.recipes.curate", "pipeline.cli.main", False),
    ],
)
def test_the_layer_table(module: str, imported: str, upward: bool) -> None:
    assert _is_upward(module, imported) is upward


def test_no_file_imports_a_circle(ours: Any) -> None:
    """Every import counts: at the top of a file, inside a function, and for type checkers."""
    modules = {file.module for file in ours}
    graph = {
        file.module: {
            target for i in file.imports if (target := _module_of(i.name, modules)) and target != file.module
        }
        for file in ours
    }
    assert _modules_on_circles(graph) == []


def test_the_search_for_circles_finds_them() -> None:
    circle = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"e"}, "e": set(), "f": {"f2"}, "f2": {"f"}}
    assert _modules_on_circles(circle) == ["b", "c", "f", "f2"]
    assert _modules_on_circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def _modules_on_circles(graph: dict[str, set[str]]) -> list[str]:
    """The modules that import themselves through other modules."""
    return sorted(name for name in graph if name in _reachable(graph, name))


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """All modules that `start` imports, directly or through other modules."""
    found: set[str] = set()
    todo = list(graph[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += graph.get(name, ())
    return found


def _module_of(name: str, modules: set[str]) -> str:
    """The module that an imported name comes from, or "" if it is not one of ours."""
    parent = name.rpartition(".")[0]
    return name if name in modules else parent if parent in modules else ""


def test_heavy_packages_are_imported_where_they_are_used(ours: Any) -> None:
    """Exceptions are the modules of `training` and of the Ray executor, but not their `__init__.py`."""
    wrong = [
        f"{file.path}:{i.line} imports {i.name} at module level"
        for file in ours
        for i in file.imports
        if i.top
        and not i.typing
        and i.name.split(".")[0] in HEAVY
        and (file.is_package_init or not file.path.startswith(("training/", "pipeline/executors/on_ray/")))
    ]
    assert wrong == []


def _loaded_after(code: str, *names: str) -> list[str]:
    """Which of these packages a new Python process has loaded after running `code`."""
    script = f"{code}\nimport sys\nprint('loaded:', *(m for m in {names!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_packages_load_nothing_heavy(ours: Any) -> None:
    packages = [file.module for file in ours if file.is_package_init and ".on_ray" not in file.module]
    assert _loaded_after(f"import {', '.join(packages)}", *sorted(HEAVY)) == []


def test_help_loads_next_to_nothing() -> None:
    code = "from pipeline.cli import main\nassert main(['--help']) == 0"
    assert _loaded_after(code, "torch", "ray", "av", "pyarrow", "numpy", "rich", "yaml") == []


@pytest.mark.parametrize("verb", ["train", "sample", "evaluate", "export"])
def test_training_verbs_load_no_ray(verb: str) -> None:
    code = f"from pipeline.cli import main\nassert main([{verb!r}, '--help']) == 0"
    assert _loaded_after(code, "ray", "pipeline.dag", "stages") == []
