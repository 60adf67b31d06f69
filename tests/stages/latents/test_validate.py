"""`manifest check` names what a training on packed latents would trip over."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load, save

from pipeline.cli import main
from stages.media.tar import Member, index_bytes, write_tar

Check = Callable[..., tuple[int, dict[str, Any]]]
Samples = list[dict[str, bytes]]


@pytest.fixture(scope="module")
def intact(pack_store: Callable[..., Path]) -> Path:
    return pack_store()


@pytest.fixture
def store(intact: Path, tmp_path: Path) -> Path:
    shutil.copytree(intact, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def check(store: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    def run(*options: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(["manifest", "check", str(store), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return run


def tars(store: Path, split: str = "latents") -> list[Path]:
    return sorted(store.glob(f"pack_latents-*/{split}/*/*.tar"))


def change(
    tar: Path,
    change_members: Callable[[str, dict[str, bytes]], None] = lambda key, members: None,
    **metadata: Any,
) -> None:
    """Rewrite a shard and its index after a change of each sample: suffix to content."""
    index = tar.with_suffix(".parquet")
    table = pq.read_table(index)
    footer = json.loads(table.schema.metadata[b"clipmill.latents"])
    data = tar.read_bytes()
    samples: dict[str, dict[str, bytes]] = {}
    for row in table.to_pylist():
        member = Member(row["member"], row["offset"], row["size"])
        content = data[member.offset : member.offset + member.size]
        samples.setdefault(member.key, {})[member.name.removeprefix(member.key)] = content
    for key, members in samples.items():
        change_members(key, members)
    contents = [(f"{key}{suffix}", each) for key, of in samples.items() for suffix, each in of.items()]
    tar.unlink()
    written = write_tar(tar, contents)
    index.unlink()
    index.write_bytes(index_bytes(written, {"clipmill.latents": json.dumps(footer | metadata)}))


def with_latents(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., None]:
    def apply(key: str, members: dict[str, bytes]) -> None:
        members[".safetensors"] = save({"latents": function(load(members[".safetensors"])["latents"])})

    return apply


def with_json(**changes: Any) -> Callable[..., None]:
    def apply(key: str, members: dict[str, bytes]) -> None:
        members[".json"] = json.dumps(json.loads(members[".json"]) | changes).encode()

    return apply


def faults(result: dict[str, Any]) -> str:
    return json.dumps(result["faults"])


def test_intact_latents_have_no_fault(check: Check, store: Path) -> None:
    code, result = check()
    assert (code, result["faults"]) == (0, [])
    notes = "\n".join(result["notes"])
    assert "1 of 8 clips have no caption" in notes
    assert check("--quick")[0] == 0
    assert len(tars(store)) >= 3
    assert len(tars(store, "latents-validation")) >= 1


@pytest.mark.parametrize(
    ("function", "metadata", "message"),
    [
        (with_json(frames=16), {}, "16 frames are not 1 + k * 4"),
        (with_json(fps=24.0), {}, "json has fps 24.0, but the index has 12.0"),
        (with_json(tokenizer_digest="x"), {}, "json has tokenizer_digest x"),
        (with_json(encoded_px=[640, 360]), {}, "frames of 640 x 360 px do not give latents"),
        (with_json(video_px=[90, 0, 112, 64]), {}, "video_px is not inside the frame"),
        (with_json(id="other"), {}, "its json is that of 'other'"),
        (with_latents(lambda latents: latents * torch.nan), {}, "NaN or infinity"),
        (with_latents(lambda latents: latents[:, :2].contiguous()), {}, "its latents are torch.float16"),
        (with_latents(lambda latents: latents * 0), {}, "the statistics of the video latents"),
        (lambda key, members: members.pop(".txt"), {}, "has no .txt"),
        (lambda key, members: members.update({".jpg": b"?"}), {}, "which PackLatents does not write"),
        (lambda key, members: members.update({".safetensors": b"?"}), {}, "it cannot be read"),
        (lambda key, members: members.update({".text.safetensors": b"?"}), {}, "have text embeddings"),
        (lambda key, members: None, {"fps": 24.0}, "the frame rates differ: 12 in"),
        (lambda key, members: None, {"samples": 77}, "states 77 samples"),
        (lambda key, members: None, {"shape": [6, 4, 8, 14]}, "have shape 6x4x8x14, but their bucket is"),
        (lambda key, members: None, {"statistics": {}}, "states other statistics"),
    ],
)
def test_a_changed_shard_is_named(
    check: Check, store: Path, function: Callable[..., None], metadata: dict[str, Any], message: str
) -> None:
    change(tars(store)[-1], function, **metadata)
    code, result = check()
    assert code == 1
    assert message in faults(result)
    assert tars(store)[-1].name in faults(result)


def test_constant_channels_and_large_variance_are_named(check: Check, store: Path) -> None:
    def scale(latents: torch.Tensor) -> torch.Tensor:
        latents[0], latents[1] = 3.0, latents[1] * 100
        return latents

    for tar in tars(store):
        change(tar, with_latents(scale))
    _, result = check()
    assert "channel 0 of the video latents has standard deviation 0: it is constant" in faults(result)
    assert "channel 1 of the video latents has standard deviation" in "\n".join(result["notes"])


def test_strangers_and_missing_files_are_named(check: Check, store: Path) -> None:
    tar, *_, other = tars(store)
    stranger = tar.with_name("999999.tar")
    shutil.copy(tar, stranger)
    other.unlink()
    code, result = check("--quick")
    assert code == 1
    assert "no row names this file, but a training on the folder would read it" in faults(result)
    assert "999999.tar" in faults(result)
    assert "an artifact is missing" in faults(result)


def test_a_damaged_tar_is_named_and_the_others_are_checked(check: Check, store: Path) -> None:
    first, *_, last = tars(store)
    data = bytearray(first.read_bytes())
    data[100:400] = b"x" * 300
    first.unlink()
    first.write_bytes(data)
    change(last, with_json(frames=16))
    _, result = check()
    assert "a shard cannot be read" in faults(result)
    assert "16 frames are not" in faults(result)
