"""Project rules that no linter checks: names, lengths, first lines, links, and calls that are never made."""

import ast
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LINES, TEST_LINES, FUNCTION_LINES, README_LINES = 300, 400, 60, 200
MEDIAN_LINES, FOLDER_FILES = 110, 14
BANNED = {"base", "common", "core", "helper", "helpers", "manager", "misc", "tool", "tools", "util", "utils"}
UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
# It defines an unpickler that refuses everything but descriptions of tensors.
RESTRICTED_UNPICKLERS = {("training/loop/checkpoint_files.py", "pickle")}
UNSAFE_CALLS = {
    "eval", "exec", "os.system", "os.popen", "tempfile.mktemp",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load",
}  # fmt: skip
UNSAFE_ARGUMENTS = {
    ("shell", True),
    ("allow_pickle", True),
    ("weights_only", False),
    ("trust_remote_code", True),
}
# Split, so that this file does not contain them.
ELSEWHERE = (
    "/wo" + "rk/",
    "/tm" + "p/env",
    "/ro" + "ot/",
    "pypi" + ".org",
    "python" + "hosted",
    "index" + "-url",
)
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf\U0001f1e6-\U0001f1ff]")
ALLOWED_SIGNS = set("✓✗✔✘")


def test_the_first_line_of_a_file_states_its_purpose(files: Any) -> None:
    wrong = []
    for file in files:
        doc = ast.get_docstring(file.tree, clean=False) or ""
        first = doc.partition("\n")[0]
        if not (file.text.startswith(('"""', 'r"""')) and len(first) > 15 and first[-1] in ".:?"):
            wrong.append(file.path)
    assert wrong == []


def test_files_are_short(files: Any) -> None:
    lengths = {file.path: file.text.count("\n") for file in files}
    limit = {path: TEST_LINES if path.startswith("tests/") else LINES for path in lengths}
    assert {path: n for path, n in lengths.items() if n > limit[path]} == {}


def test_the_median_file_is_short(ours: Any) -> None:
    for package in ("pipeline", "stages", "training"):
        lengths = [file.text.count("\n") for file in ours if file.path.startswith(f"{package}/")]
        assert statistics.median(lengths) < MEDIAN_LINES, package


def test_folders_are_small(files: Any, root: Path) -> None:
    """A larger folder has an entry in a DECISIONS.md that names it and says why."""
    counts = Counter(Path(file.path).parent.as_posix() for file in files)
    decisions = "".join(path.read_text(encoding="utf-8") for path in root.glob("*/DECISIONS.md"))
    large = {folder: count for folder, count in counts.items() if count > FOLDER_FILES}
    assert {
        f: n for f, n in large.items() if f"`{f}` has more than {FOLDER_FILES} files" not in decisions
    } == {}


def test_functions_are_short(files: Any) -> None:
    wrong = [
        f"{file.path}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 >= FUNCTION_LINES
    ]
    assert wrong == []


def test_no_file_or_folder_has_a_generic_name(files: Any) -> None:
    parts = {part.removesuffix(".py") for file in files for part in file.path.split("/")}
    assert sorted(parts & BANNED) == []


def test_no_call_executes_data(ours: Any) -> None:
    assert [fault for file in ours for fault in _unsafe(file)] == []


def _unsafe(file: Any) -> Iterator[str]:
    for imported in file.imports:
        is_unsafe = imported.name.split(".")[0] in UNSAFE_MODULES
        if is_unsafe and (file.path, imported.name) not in RESTRICTED_UNPICKLERS:
            yield f"{file.path}:{imported.line} imports {imported.name}"
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        arguments = {(k.arg, k.value.value) for k in node.keywords if isinstance(k.value, ast.Constant)}
        if name in UNSAFE_CALLS or arguments & UNSAFE_ARGUMENTS:
            yield f"{file.path}:{node.lineno} {ast.unparse(node)}"
        if name == "torch.load" and ("weights_only", True) not in arguments:
            yield f"{file.path}:{node.lineno} torch.load without weights_only=True"


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from pickle import loads", "def f():\n    import dill", "eval('1')", "yaml.load(x)",
     "subprocess.run(x, shell=True)", "torch.load(x)", "torch.load(x, weights_only=False)",
     "np.load(x, allow_pickle=True)"],
)  # fmt: skip
def test_the_search_for_unsafe_calls_finds_them(text: str, files: Any) -> None:
    found = type(files[0])("none.py")
    vars(found)["tree"] = ast.parse(text)
    assert list(_unsafe(found))


def test_no_file_has_a_todo_comment(files: Any) -> None:
    later = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert [f"{file.path}: {found[0]}" for file in files if (found := later.search(file.text))] == []


def test_there_is_no_emoji(texts: dict[str, str]) -> None:
    """Tests are exempt, because they name files as users may."""
    read = {path: text for path, text in texts.items() if not path.startswith("tests/")}
    found = {path: set(EMOJI.findall(text)) - ALLOWED_SIGNS for path, text in read.items()}
    assert {path: signs for path, signs in found.items() if signs} == {}


def test_no_text_mentions_a_machine_or_a_registry(texts: dict[str, str]) -> None:
    wrong = [f"{path}: {word}" for path, text in texts.items() for word in ELSEWHERE if word in text]
    assert wrong == []


def test_tests_have_no_packages_and_mirror_the_source_tree(files: Any, root: Path) -> None:
    tests = [file.path for file in files if file.path.startswith("tests/")]
    assert [path for path in tests if path.endswith("__init__.py")] == []
    folders = {Path(p).parent.relative_to("tests") for p in tests if Path(p).name.startswith("test_")}
    own = {"contracts", "faults", "fuzz", "house", "journeys", "toys", "benchmarks"}
    assert (
        sorted(str(f) for f in folders if f.parts and f.parts[0] not in own and not (root / f).is_dir()) == []
    )


def test_every_folder_of_code_is_a_package(ours: Any, root: Path) -> None:
    folders = {Path(file.path).parent for file in ours}
    assert sorted(str(f) for f in folders if not (root / f / "__init__.py").is_file()) == []


def test_the_readme_is_short(root: Path) -> None:
    if not (root / "README.md").is_file():
        pytest.skip("there is no README.md yet")
    assert (root / "README.md").read_text(encoding="utf-8").count("\n") < README_LINES
