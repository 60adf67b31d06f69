"""Grids of timesteps fall from the start of the path to 0."""

import pytest
import torch

from training.diffusion.path import DDPM, EDM, Cosine, Path, RectifiedFlow
from training.sampler import Sampler, ddpm_grid, default_grid, karras_grid, timestep_grid
from training.samplers.registry import SAMPLERS


def test_a_shifted_grid_has_more_timesteps_near_the_noise() -> None:
    assert timestep_grid(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert timestep_grid(4, 3.0).tolist() == pytest.approx([1, 0.9, 0.75, 0.5, 0])


def test_a_karras_grid_has_equal_steps_of_the_root_of_sigma() -> None:
    grid = karras_grid(5, 0.002, 80.0)
    roots = grid[:-1] ** (1 / 7)
    torch.testing.assert_close(roots.diff(), roots.diff()[:1].expand(4))
    assert grid.tolist()[::5] == pytest.approx([80.0, 0.0])
    assert float(grid[-2]) == pytest.approx(0.002)


def test_a_ddpm_grid_has_whole_steps_of_the_chain() -> None:
    assert (ddpm_grid(DDPM(), 4) * 1000).tolist() == [1000, 750, 500, 250, 0]
    assert (ddpm_grid(DDPM(), 3) * 1000).tolist() == pytest.approx([1000, 667, 333, 0])
    assert len(ddpm_grid(DDPM(), 1000)) == 1001


def test_sampling_of_the_cosine_schedule_starts_where_latents_are_still_visible() -> None:
    path = DDPM("cosine")
    t = ddpm_grid(path, 50)[:1]
    assert float(t) == pytest.approx(0.996)
    assert 100 < float(path.sigma(t) / path.alpha(t)) <= 200


@pytest.mark.parametrize(
    ("path", "start", "last"),
    [
        (RectifiedFlow(), 1.0, 0.25),
        (Cosine(), 1.0, 0.25),
        (EDM(), 80.0, 0.002),
        (EDM(t_max=200.0, t_min=0.01), 200.0, 0.01),
        (DDPM(), 1.0, 0.25),
    ],
    ids=str,
)
def test_each_path_has_its_default_grid(path: Path, start: float, last: float) -> None:
    grid = default_grid(path, 4)
    assert grid.dtype == torch.float64
    assert grid.tolist()[0] == pytest.approx(start)
    assert grid.tolist()[3:] == pytest.approx([last, 0.0])
    assert bool((grid.diff() < 0).all())


def test_the_default_grid_shifts_flows() -> None:
    assert torch.equal(default_grid(RectifiedFlow(), 7, 5.0), timestep_grid(7, 5.0))


def test_grids_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="num_inference_steps is 0"):
        timestep_grid(0)
    with pytest.raises(ValueError, match="shift 0"):
        timestep_grid(2, 0.0)
    with pytest.raises(ValueError, match="sigma_min 3"):
        karras_grid(2, 3.0, 2.0)
    with pytest.raises(ValueError, match="only 1000 timesteps"):
        default_grid(DDPM(), 1001)
    with pytest.raises(ValueError, match="use fewer steps, or shift 1"):
        default_grid(DDPM(), 500, 5.0)


def test_every_sampler_keeps_the_contract() -> None:
    assert all(isinstance(sampler, Sampler) for sampler in SAMPLERS.values())
    assert set(SAMPLERS) == {"euler", "heun", "unipc", "unipc3", "ddim", "ddpm"}
