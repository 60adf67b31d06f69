"""The commands of training, as a user calls them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from training.cli import main

MakeShard = Callable[..., tuple[str, str]]
KNOBS = ["steps=3", "batch_size=2", "warmup_steps=1", "num_threads=1", "quiet=true"]


@pytest.fixture
def folder(make_shard: MakeShard) -> str:
    from training.tokenizers import tokenizer_digest

    shard = make_shard("a/000000", [f"clip{n}" for n in range(4)], tokenizer_digest=tokenizer_digest("small"))
    return str(Path(shard[0]).parents[1])


def test_train_and_sample(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import av

    out, video = tmp_path / "out", tmp_path / "video.mp4"
    assert main(["train", "--data", folder, "--out", str(out), *KNOBS]) == 0
    assert "3 steps · loss" in capsys.readouterr().out
    args = ["sample", "--model", str(out), "--out", str(video), "--prompt", "a slow pan"]
    args += ["--num-inference-steps", "1"]
    assert main([*args, "--num-frames", "5"]) == 0
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 5
    assert (frames[0].width, frames[0].height) == (48, 32)
    assert main([*args, "--num-frames", "6"]) == 1
    assert "keep the first 5" in capsys.readouterr().err
    assert main([*args, "--height", "40"]) == 1
    assert "not a multiple of 16 px" in capsys.readouterr().err


def test_errors_are_short_and_name_the_remedy(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", folder, "--out", str(tmp_path), "modle=tiny"]) == 2
    assert "did you mean model?" in capsys.readouterr().err
    assert main(["sample", "--model", str(tmp_path), "--out", "x.mp4"]) == 1
    assert "no model here" in capsys.readouterr().err
    assert main(["export", "--from", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert "no checkpoint here" in capsys.readouterr().err
    assert main(["sample", "--model", str(tmp_path), "--out", str(tmp_path / "none" / "x.mp4")]) == 2
    assert "no such folder" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["train", "--data", folder, "--out", str(tmp_path / "file"), *KNOBS]) == 1
    assert f"Not a directory\n  where:  {tmp_path / 'file'}" in capsys.readouterr().err
    for wrong in (
        ["train"],
        ["train", "--data", "d", "lr=1", "--out", "o", "--stepz", "3"],
        ["evaluate", "--model", "m", "--data", "d", "lr=1"],
    ):
        with pytest.raises(SystemExit) as exit_info:
            main(wrong)
        assert exit_info.value.code == 2


def test_knobs_may_stand_before_and_after_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slurm-script", "steps=9", "--data", "d", "lr=0.5", "--out", "o", "seed=1"]) == 0
    assert "--data d --out o steps=9 lr=0.5 seed=1" in capsys.readouterr().out


def test_help_imports_no_heavy_packages() -> None:
    heavy = "sorted({'torch', 'numpy', 'pyarrow', 'av'} & set(sys.modules))"
    report = f"import atexit, sys; atexit.register(lambda: print({heavy}))"
    code = f"{report}; import training.cli as cli; cli.main(['-h'])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_torchrun_gives_the_same_losses(folder: str, tmp_path: Path) -> None:
    assert main(["train", "--data", folder, "--out", str(tmp_path / "one"), *KNOBS]) == 0
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [*run, "-m", "training", "train", "--data", folder, "--out", str(tmp_path / "two"), *KNOBS]
    subprocess.run(line, check=True, capture_output=True, timeout=240)
    one, two = (
        [json.loads(line)["loss"] for line in (tmp_path / name / "curve.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.slow
def test_a_thread_that_still_runs_pytorch_does_not_abort_the_exit(tmp_path: Path) -> None:
    script = tmp_path / "busy.py"
    script.write_text(
        "import runpy, sys, threading, torch\n"
        "torch.set_num_threads(1)\n"
        "image = torch.rand(1, 1, 2000, 2000)\n"
        "def work():\n"
        "    while True:\n"
        "        torch.nn.functional.conv2d(image, image[..., :3, :3])\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        f"sys.argv = ['training', 'train', '--data', 'nowhere', '--out', {str(tmp_path / 'out')!r}]\n"
        "runpy.run_module('training', run_name='__main__')\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert "nowhere" in run.stderr
    assert run.returncode == 1, run.stderr
