"""Noise depends on the seed, the purpose and the position, and any part of a tensor can be drawn alone."""

import pytest
import torch

from training.noise import _philox, hash_position, normal, stream_position, uniform

NORMALS = [1.22089, 0.6245115, 0.1854502, -1.055794, 0.5769666]
UNIFORMS = [0.390513101942, 0.0752519929083]


@pytest.mark.parametrize(
    ("key", "position", "block", "words"),
    [
        (0, 0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (2**64 - 1, 2**64 - 1, -1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            0x299F31D0A4093822,
            0x0370734413198A2E,
            0x85A308D3243F6A88 - 2**64,
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_equals_the_published_test_vectors(key: int, position: int, block: int, words: str) -> None:
    """Source: kat_vectors of Random123, philox4x32 with 10 rounds."""
    got = _philox((key & 0xFFFFFFFF, key >> 32), position, torch.tensor([block]))
    assert " ".join(f"{int(word):08x}" for word in got[0]) == words


def test_a_part_has_the_numbers_of_the_whole() -> None:
    whole = normal(3, "noise", [17, 18], (3, 5, 7))
    for part in (((1, 3), (0, 5), (2, 4)), ((1, 2), (1, 4), (0, 7)), ((0, 3), (0, 5), (0, 7))):
        drawn = normal(3, "noise", [18], (3, 5, 7), part=part)
        assert torch.equal(drawn, whole[1:, *(slice(*each) for each in part)])
    numbers = uniform(3, "u", [5], (3, 5))
    assert torch.equal(uniform(3, "u", [5], (3, 5), part=((2, 3), (1, 4))), numbers[:, 2:3, 1:4])


def test_noise_does_not_depend_on_the_other_positions_of_a_batch() -> None:
    batch = normal(3, "noise", [5, 17, 9], (4, 5))
    assert torch.equal(normal(3, "noise", [17], (4, 5))[0], batch[1])
    assert torch.equal(normal(3, "noise", [9, 5], (4, 5)), batch[[2, 0]])


def test_a_long_tensor_is_drawn_in_chunks_without_repetition() -> None:
    z = normal(0, "noise", [1], (200_000,))[0]
    assert len(torch.unique(z)) > 190_000


@pytest.mark.parametrize(
    "other", [(4, "noise", 17), (3, "other", 17), (3, "noise", 18), (3, "noise", 17 + 2**32)]
)
def test_noise_depends_on_seed_purpose_and_position(other: tuple[int, str, int]) -> None:
    seed, purpose, position = other
    first, second = normal(3, "noise", [17], (64,)), normal(seed, purpose, [position], (64,))
    assert not torch.isclose(first, second).any()


def test_seed_and_purpose_are_not_concatenated() -> None:
    assert not torch.isclose(normal(1, "1c", [0], (9,)), normal(11, "c", [0], (9,))).any()


def test_noise_has_these_values_in_every_process_and_release() -> None:
    assert normal(3, "noise", [17], (5,))[0].tolist() == pytest.approx(NORMALS, rel=1e-5)
    assert uniform(3, "noise", [17], (2,))[0].tolist() == pytest.approx(UNIFORMS, rel=1e-9)


def test_moments_of_many_positions() -> None:
    z = normal(0, "noise", range(400), (50,))
    u = uniform(0, "u", range(4000))
    assert abs(float(z.mean())) < 0.03
    assert abs(float(z.std()) - 1) < 0.03
    assert abs(float((z**4).mean()) - 3) < 0.2
    for a, b in ((z[1:], z[:-1]), (z[:, 1:], z[:, :-1])):  # neighbors in position and in place
        assert abs(float((a * b).mean())) < 0.03
    assert 0 < float(u.min()) < 0.01
    assert 0.99 < float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.03


def test_positions_of_the_stream_do_not_repeat() -> None:
    positions = {stream_position(step, index) for step in range(5) for index in range(7)}
    assert len(positions) == 35
    assert 0 <= hash_position("clip") < 2**63
    assert hash_position("clip") != hash_position("clip2")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_numbers() -> None:
    on_gpu = normal(3, "noise", [17, 18], (1000,), device="cuda").cpu()
    torch.testing.assert_close(on_gpu, normal(3, "noise", [17, 18], (1000,)), rtol=1e-5, atol=1e-5)
    assert torch.equal(uniform(3, "u", [1], (99,), device="cuda").cpu(), uniform(3, "u", [1], (99,)))
