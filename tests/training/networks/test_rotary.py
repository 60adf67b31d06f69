"""Rotary positions: order of tokens, distances, and the inverse rotation."""

import pytest
import torch

from training.networks.rotary import apply_rotary, rotary_tables, rotate, token_positions


def test_positions_with_a_first_frame_are_the_tail_of_all_positions() -> None:
    whole = token_positions(5, 3, 2)
    assert torch.equal(torch.cat([token_positions(2, 3, 2), token_positions(3, 3, 2, first_frame=2)]), whole)
    assert whole[:3].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_rotations_depend_only_on_the_distance() -> None:
    x = torch.randn(1, 1, 1, 24, generator=torch.Generator().manual_seed(0)).expand(1, 2, 1, 24)
    near, far = (
        apply_rotary(x, rotary_tables(torch.tensor([[[t, 1, 2], [t + 3, 5, 2]]]), 24, (1.0, 1.0, 1.0)))[
            0, :, 0
        ]
        for t in (0, 40)
    )
    assert float(near[0] @ near[1]) == pytest.approx(float(far[0] @ far[1]), rel=1e-4)
    assert float(near[0] @ near[1]) < float(near[0] @ near[0])


def test_a_head_of_128_has_22_pairs_for_time_and_21_for_each_other_axis() -> None:
    for axis, pairs in ((0, range(22)), (1, range(22, 43)), (2, range(43, 64))):
        position = torch.zeros(1, 1, 3)
        position[..., axis] = 1
        _, sin = rotary_tables(position, 128, (1.0, 1.0, 1.0))
        assert sin[0, 0].nonzero().flatten().tolist() == list(pairs)


def test_the_inverse_rotation_undoes_a_rotation() -> None:
    x = torch.randn(2, 12, 3, 24, generator=torch.Generator().manual_seed(0))
    tables = rotary_tables(token_positions(2, 3, 2)[None], 24, (1.0, 2.0, 2.0))
    assert not torch.allclose(rotate(x, tables), x, atol=0.1)
    assert torch.allclose(rotate(rotate(x, tables), tables, inverse=True), x, atol=1e-5)
