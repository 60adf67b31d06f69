"""The verbs of training, as a user calls them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from training.cli import main

MakeShard = Callable[..., tuple[str, str]]
FEW = ["steps=3", "batch=2", "warmup=1", "threads=1", "quiet=true"]


@pytest.fixture
def folder(make_shard: MakeShard) -> str:
    from training.tokenizers import tokenizer_digest

    made = make_shard("a/000000", [f"clip{n}" for n in range(4)], tokenizer_digest=tokenizer_digest("small"))
    return str(Path(made[0]).parents[1])


def test_a_world_is_trained_and_sampled(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import av

    out, video = tmp_path / "out", tmp_path / "video.mp4"
    assert main(["train", "--data", folder, "--out", str(out), *FEW]) == 0
    assert "3 steps · loss" in capsys.readouterr().out
    asked = ["--model", str(out), "--out", str(video), "--caption", "a slow pan", "--steps", "1"]
    assert main(["sample", *asked, "--frames", "5"]) == 0
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 5
    assert (frames[0].width, frames[0].height) == (48, 32)
    assert main(["sample", *asked, "--frames", "6"]) == 1
    assert "keep the first 5" in capsys.readouterr().err
    assert main(["sample", *asked, "--height", "40"]) == 1
    assert "no multiple of 16" in capsys.readouterr().err


def test_errors_are_told_on_one_screen(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", folder, "--out", str(tmp_path), "sice=tiny"]) == 1
    assert "did you mean size?" in capsys.readouterr().err
    assert main(["sample", "--model", str(tmp_path), "--out", "x.mp4"]) == 1
    assert "no model here" in capsys.readouterr().err
    assert main(["export", "--from", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "no checkpoint here" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main(["train"])
    assert left.value.code == 2


def test_the_command_line_is_light() -> None:
    heavy = "sorted({'torch', 'numpy', 'pyarrow', 'av'} & set(sys.modules))"
    ending = f"import atexit, sys; atexit.register(lambda: print({heavy}))"
    told = f"{ending}; import training.cli as cli; cli.main(['-h'])"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_torchrun_trains_the_same(folder: str, tmp_path: Path) -> None:
    assert main(["train", "--data", folder, "--out", str(tmp_path / "one"), *FEW]) == 0
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [*run, "-m", "training", "train", "--data", folder, "--out", str(tmp_path / "two"), *FEW]
    subprocess.run(line, check=True, capture_output=True, timeout=240)
    one, two = (
        [json.loads(line)["loss"] for line in (tmp_path / name / "curve.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert two == pytest.approx(one, rel=1e-4)
