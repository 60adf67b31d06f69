"""Completion in a real bash: verbs, options, recipes, knobs and values, stores, runs, steps, ids, columns."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import counting
import pytest
from toys import Quiet

from manifests import clips
from pipeline.cli import main
from pipeline.executors.inline import Inline
from pipeline.recipes.recipe import Knob
from pipeline.recipes.request import RunRequest
from pipeline.run import run_dag
from pipeline.verbs.completion.words import _values

BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="bash is not installed")
ASK = """
source <(clipmill completion bash)
while IFS= read -r line; do
  COMP_POINT=${#line} COMP_LINE="${line/|/}" COMP_TYPE=9 COMPREPLY=()
  if [[ "$line" == *"|"* ]]; then before="${line%%|*}"; COMP_POINT=${#before}; fi
  _python_argcomplete clipmill
  (IFS=' '; echo "${COMPREPLY[*]}")
done
"""
LINES = {  # | is the cursor, if it is not at the end
    "clipmill sta": "status stages",
    "clipmill run co": "counting.py",
    "clipmill run counting.py --inline co": "count=",
    "clipmill run counting.py store=": "films/ store/",
    "clipmill generate dog upsampler_e": "upsampler_endpoint=",
    "clipmill table --of numbers store=store --columns id,squ": "id,square",
    "clipmill replay --row 5 store=store sq": "square",
    "clipmill explain ROW| store=store": "ROW",
    "clipmill manifest ch": "check",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, a store, and `clipmill` as a program."""
    folder = tmp_path_factory.mktemp("work")
    request = RunRequest(counting.__file__, {}, "store")
    run_dag(counting.counting(), str(folder / "store"), executor=Inline(), observer=Quiet(), request=request)
    shutil.copy(counting.__file__, folder)
    (folder / "films").mkdir()
    program = tmp_path_factory.mktemp("bin") / "clipmill"
    code = "import sys; from pipeline.cli import main; sys.exit(main())"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$@\"\n")
    program.chmod(0o755)
    os.symlink(program.parent, folder / ".bin")
    return folder


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder / '.bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path), "PS1": "ready> "}


@needs_bash
def test_bash_gets_the_words(folder: Path) -> None:
    row = str(clips(folder / "store", columns=["id"])["id"][0])
    lines = [line.replace("ROW", row[:12]) for line in LINES]
    done = subprocess.run(
        [str(BASH), "--norc", "-c", ASK], input="\n".join(lines) + "\n", capture_output=True, text=True,
        cwd=folder, env=environment(folder), check=True,
    )  # fmt: skip
    answers = dict(zip(LINES, (line.strip() for line in done.stdout.split("\n")), strict=False))
    assert answers == {line: answer.replace("ROW", row) for line, answer in LINES.items()}


@needs_bash
@pytest.mark.slow
def test_tab_in_an_interactive_bash(folder: Path) -> None:
    terminal, end_of_bash = pty.openpty()
    command = [str(BASH), "--norc", "--noprofile", "-i"]
    bash = subprocess.Popen(
        command, cwd=folder, env=environment(folder), start_new_session=True,
        stdin=end_of_bash, stdout=end_of_bash, stderr=end_of_bash,
    )  # fmt: skip
    os.close(end_of_bash)
    try:
        read_until(terminal, "ready> ")
        os.write(terminal, b"source <(clipmill completion bash)\n")
        read_until(terminal, "ready> ")
        os.write(terminal, b"clipmill run counting.py min_ha\t")
        assert read_until(terminal, "min_half=").endswith("min_half=")
    finally:
        os.close(terminal)
        bash.kill()
        bash.wait()


def read_until(terminal: int, expected: str) -> str:
    """What the terminal prints until it has printed `expected`."""
    text, ends = "", time.monotonic() + 60
    while expected not in text and time.monotonic() < ends:
        if select.select([terminal], [], [], 1)[0]:
            text += os.read(terminal, 4096).decode()
    assert expected in text
    return text


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete")]
)
def test_there_is_a_script_for_each_shell(shell: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "clipmill" in script
    assert word in script


@pytest.mark.parametrize(
    ("doc", "value_type", "default", "values"),
    [
        (
            "Detector: fast, exact (fast, and slow) or transnet (new). Slower.",
            str,
            "fast",
            "fast exact transnet",
        ),
        ("Folder of the videos: any folder or file.", str, "films", ""),
        ("Whether to pack.", bool, False, "true false"),
        ("Number of rows: one, two or three.", int, 1, ""),
    ],
)
def test_the_values_of_a_knob_are_known(doc: str, value_type: type, default: object, values: str) -> None:
    assert list(_values(Knob("knob", value_type, default, doc))) == values.split()
