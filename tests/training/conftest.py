"""Fixtures: small shards of latents in the format of PackLatents, and scripts run on several ranks."""

import json
import multiprocessing
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from stages.media.tar import index_bytes, write_tar

sys.path.insert(0, str(Path(__file__).with_name("ranks")))  # also for the processes of the ranks

from one_rank import run_script

MakeShard = Callable[..., tuple[str, str]]
OnRanks = Callable[..., str]


@pytest.fixture(scope="session")
def on_ranks(tmp_path_factory: pytest.TempPathFactory) -> OnRanks:
    """on_ranks(2, "script.py", …) -> the output of rank 0; the script must end with `exit_code` on all ranks.

    Ranks are forked from a server that has already imported torch, because the import takes most of the time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.distributed.fsdp", "training.recipes.world"])

    def run(ranks: int, script: str | Path, *arguments: str | Path, exit_code: int = 0) -> str:
        out = tmp_path_factory.mktemp("output")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        processes = []
        for rank in map(str, range(ranks)):
            ranks_env = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": str(ranks)}
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            args = (ranks_env | address, str(script), [*map(str, arguments)], str(out / rank))
            processes.append(context.Process(target=run_script, args=args))
            processes[-1].start()
        for process in processes:
            process.join(120)
        exit_codes = [process.exitcode for process in processes]
        for process in processes:
            process.kill()
            process.join()
            process.close()
        assert exit_codes == [exit_code] * ranks
        return (out / "0").read_text()

    return run


def _members(ids: list[str], shape: tuple[int, ...], metadata: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    for name in ids:
        rng = torch.Generator().manual_seed(int.from_bytes(name.encode()[:7], "big"))
        t, h, w = (torch.linspace(-1, 1, n) for n in shape[1:])
        wave = torch.sin(3 * (t[:, None, None] + h[:, None] + w) + 6 * torch.rand(1, generator=rng))
        latents = (wave * torch.linspace(-1.5, 1.5, shape[0])[:, None, None, None]).half()
        cameras = {view: {"caption": f"{view} of {name}"} for view in metadata.get("views") or ()}
        yield f"{name}.json", json.dumps({"id": name, "cameras": cameras, **metadata}).encode()
        kind, stored = "latents", latents.contiguous()
        if size := metadata.get("codebook_size"):
            kind, stored = "codes", ((latents + 2) / 4 * size).to(torch.uint16)
        yield f"{name}.txt", f"a {name} shot".encode()
        views = metadata.get("views") or [""]
        for number, view in enumerate(views):  # of a recording, the views are turned by 90 degrees each
            dot = f".{view}" * bool(view)
            yield f"{name}{dot}.safetensors", save({kind: stored.roll(number, 3)})
            if spec := metadata.get("conditions"):
                turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]).matrix_power(number)
                frames = 1 + metadata.get("stride", [4])[0] * (shape[1] - 1)
                conditions = _conditions(spec, frames, shape, rng, turn)
                yield f"{name}{dot}.conditions.safetensors", save(conditions)


def _conditions(
    spec: dict[str, Any], frames: int, shape: tuple[int, ...], rng: torch.Generator, turn: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Random actions, and a camera that moves forward with the focal length of half the height of a frame."""
    tensors = {}
    if "action" in spec:
        tensors["action"] = torch.randn(frames - 1, len(spec["action"]["names"]), generator=rng)
    if "camera_pose" in spec:
        tensors["camera_pose"] = torch.eye(3, 4).repeat(frames, 1, 1)
        tensors["camera_pose"][:, 2, 3] = torch.arange(frames) * torch.rand(1, generator=rng)
        tensors["camera_pose"][:, :, :3] = turn
        size = torch.tensor([shape[2] * 8.0] * 2 + [shape[3] * 8.0, shape[2] * 8.0]) / 2
        tensors["camera_intrinsics"] = size.repeat(frames, 1)
    if "trajectory" in spec:
        tensors["trajectory"] = torch.randn(spec["trajectory"]["points"], 3, generator=rng)
    return tensors


@pytest.fixture
def make_shard(tmp_path: Path) -> MakeShard:
    """make_shard("bucket/000000", ["id", …], shape=(c, t, h, w), **metadata) -> (tar, index)."""
    return shard_maker(tmp_path)


@pytest.fixture(scope="module")
def make_module_shard(tmp_path_factory: pytest.TempPathFactory) -> MakeShard:
    """`make_shard` for fixtures of a module."""
    return shard_maker(tmp_path_factory.mktemp("module"))


def shard_maker(folder: Path) -> MakeShard:
    """The function `make_shard`, which writes into a folder."""

    def make(
        name: str,
        ids: list[str],
        shape: tuple[int, ...] = (16, 3, 4, 6),
        sample_metadata: Any = None,
        **metadata: Any,
    ) -> tuple[str, str]:
        shard_metadata = {
            "format": 1,
            "tokenizer": "small",
            "tokenizer_digest": "d1",
            "stride": [4, 8, 8],
            "dtype": "float16",
            "fps": 12.0,
            "shape": list(shape),
            "samples": len(ids),
        } | metadata
        tar = folder / "shards" / f"{name}.tar"
        tar.parent.mkdir(parents=True, exist_ok=True)
        members = write_tar(tar, _members(ids, shape, sample_metadata or shard_metadata))
        index = tar.with_suffix(".parquet")
        index.write_bytes(index_bytes(members, {"clipmill.latents": json.dumps(shard_metadata)}))
        return str(tar), str(index)

    return make
