"""The rules of the house that no linter knows: names, lengths, first lines, and what is never called."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LINES, TEST_LINES, FUNCTION_LINES, README_LINES = 300, 400, 60, 200
BANNED = {"base", "common", "core", "helper", "helpers", "manager", "misc", "tool", "tools", "util", "utils"}
UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
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
# Written in pieces, so that this file does not mention them.
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


def test_the_first_line_of_a_file_says_its_idea(files: Any) -> None:
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


def test_functions_are_short(files: Any) -> None:
    wrong = [
        f"{file.path}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 >= FUNCTION_LINES
    ]
    assert wrong == []


def test_no_file_or_folder_has_a_name_that_says_nothing(files: Any) -> None:
    parts = {part.removesuffix(".py") for file in files for part in file.path.split("/")}
    assert sorted(parts & BANNED) == []


def test_nothing_is_called_that_runs_what_it_reads(ours: Any) -> None:
    assert [fault for file in ours for fault in _unsafe(file)] == []


def _unsafe(file: Any) -> Iterator[str]:
    for wanted in file.imports:
        if wanted.name.split(".")[0] in UNSAFE_MODULES:
            yield f"{file.path}:{wanted.line} imports {wanted.name}"
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {(k.arg, k.value.value) for k in node.keywords if isinstance(k.value, ast.Constant)}
        if name in UNSAFE_CALLS or given & UNSAFE_ARGUMENTS:
            yield f"{file.path}:{node.lineno} {ast.unparse(node)}"
        if name == "torch.load" and ("weights_only", True) not in given:
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


def test_nothing_is_left_for_later(files: Any) -> None:
    later = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
    assert [f"{file.path}: {found[0]}" for file in files if (found := later.search(file.text))] == []


def test_there_is_no_emoji(texts: dict[str, str]) -> None:
    """But in tests, for a user's files may be named by one."""
    read = {path: text for path, text in texts.items() if not path.startswith("tests/")}
    found = {path: set(EMOJI.findall(text)) - ALLOWED_SIGNS for path, text in read.items()}
    assert {path: signs for path, signs in found.items() if signs} == {}


def test_no_text_mentions_a_machine_or_a_registry(texts: dict[str, str]) -> None:
    wrong = [f"{path}: {word}" for path, text in texts.items() for word in ELSEWHERE if word in text]
    assert wrong == []


def test_tests_have_no_faces_and_mirror_the_rooms(files: Any, root: Path) -> None:
    tests = [file.path for file in files if file.path.startswith("tests/")]
    assert [path for path in tests if path.endswith("__init__.py")] == []
    rooms = {Path(p).parent.relative_to("tests") for p in tests if Path(p).name.startswith("test_")}
    own = {"contracts", "house", "journeys", "toys", "benchmarks"}
    assert (
        sorted(str(r) for r in rooms if r.parts and r.parts[0] not in own and not (root / r).is_dir()) == []
    )


def test_every_folder_of_code_is_a_package(ours: Any, root: Path) -> None:
    folders = {Path(file.path).parent for file in ours}
    assert sorted(str(f) for f in folders if not (root / f / "__init__.py").is_file()) == []


def test_the_readme_is_short(root: Path) -> None:
    if not (root / "README.md").is_file():
        pytest.skip("there is no README.md yet")
    assert (root / "README.md").read_text(encoding="utf-8").count("\n") < README_LINES
