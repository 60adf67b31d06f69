"""Finite scalar quantization: every index survives, and gradients pass."""

import io
import tarfile

import numpy as np
import pytest
import torch

from training.tokenizers.cosmos.config import FSQ_LEVELS
from training.tokenizers.fsq import FSQ


def test_all_64000_indices_survive_codes_uint16_and_a_tar() -> None:
    fsq = FSQ(FSQ_LEVELS)
    assert fsq.codebook_size == 64_000
    indices = torch.arange(64_000, dtype=torch.int32)
    member = io.BytesIO()
    np.save(member, indices.numpy().astype(np.uint16))
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("codes.npy")
        info.size = member.tell()
        tar.addfile(info, io.BytesIO(member.getvalue()))
    with tarfile.open(fileobj=io.BytesIO(archive.getvalue())) as tar:
        stored = tar.extractfile("codes.npy")
        assert stored is not None
        read = torch.from_numpy(np.load(io.BytesIO(stored.read()), allow_pickle=False))
    assert read.dtype == torch.uint16
    codes = fsq.to_codes(read)
    assert codes.abs().max() <= 1
    assert len(codes.unique(dim=0)) == 64_000
    back = fsq.to_indices(codes)
    assert back.dtype == torch.int32
    assert torch.equal(back, indices)
    assert torch.equal(fsq.to_indices(codes.bfloat16().float()), indices)


@pytest.mark.parametrize("levels", [FSQ_LEVELS, (2, 3, 4, 7)])
def test_quantization_gives_codes_and_uses_all_levels(levels: tuple[int, ...]) -> None:
    fsq = FSQ(levels)
    z = torch.linspace(-6, 6, 4001)[:, None].expand(-1, len(levels))
    codes = fsq(z)
    assert torch.equal(fsq.to_codes(fsq.to_indices(codes)), codes)
    assert [len(column.unique()) for column in codes.T] == list(levels)


def test_the_gradient_passes_the_rounding() -> None:
    fsq = FSQ((8, 5))
    z = torch.tensor([[0.2, -0.3]], requires_grad=True)
    fsq(z).sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    step = 1e-3
    expected = [
        (fsq._bound(z.detach() + step * unit) - fsq._bound(z.detach() - step * unit)).sum() / (2 * step)
        for unit in torch.eye(2)
    ]
    assert torch.allclose(z.grad[0] * fsq.half_width, torch.stack(expected), rtol=1e-2)


def test_an_index_outside_the_codebook_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not in 0\.\.39: 0\.\.40"):
        FSQ((8, 5)).to_codes(torch.tensor([0, 40]))
    with pytest.raises(ValueError, match="at least 2"):
        FSQ((8, 1))
