"""The losses of a tokenizer have the values and gradients that their sources state."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.errors import CheckpointError
from training.objectives.adversarial import Adversarial, generator_gradient
from training.objectives.perceptual import OpticalFlow, VGGFeatures, structural_distance
from training.objectives.reconstruction import Reconstruction, difference_distance, l1_distance
from training.tokenizers.crops import CropBatch

DISTANCES = {"l1": (1.0, l1_distance), "difference": (0.5, difference_distance)}


class Biased(nn.Module):
    """Returns the video with an error added."""

    def __init__(self, error: Tensor) -> None:
        super().__init__()
        self.error = nn.Parameter(error)

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        return video + self.error, video


def batch(*shape: int) -> CropBatch:
    video = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return CropBatch(tuple(range(len(video))), video)


def test_a_constant_error_has_no_differences_and_a_checkered_one_has() -> None:
    crops = batch(1, 3, 3, 4, 4)
    constant = Reconstruction(Biased(torch.tensor(0.1)), DISTANCES)(crops, 0)
    board = (torch.arange(4)[:, None] + torch.arange(4)) % 2 * 0.2
    checkered = Reconstruction(Biased(board), DISTANCES)(crops, 0)
    assert float(constant.total.detach()) == pytest.approx(0.1, rel=1e-4)
    assert float(constant.parts["mse"]) == pytest.approx(0.01, rel=1e-4)
    assert float(checkered.parts["l1"]) == pytest.approx(0.1, rel=1e-4)
    assert float(checkered.parts["difference"]) == pytest.approx((0 + 0.2 + 0.2) / 3, rel=1e-4)
    assert float(checkered.total.detach()) > float(constant.total.detach())


def test_an_image_has_no_differences_in_time() -> None:
    crops = batch(1, 3, 1, 4, 4)
    assert float(difference_distance(crops.videos + 0.1, crops.videos)) == pytest.approx(0, abs=1e-6)


def test_the_structural_distance_grows_with_noise_and_ignores_none() -> None:
    video = batch(1, 3, 2, 48, 48).videos
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(1))
    assert float(structural_distance(video, video)) == pytest.approx(0, abs=1e-5)
    values = [float(structural_distance(video + sigma * noise, video)) for sigma in (0.05, 0.2, 0.8)]
    assert 0 < values[0] < values[1] < values[2] < 1.2


def test_the_adversarial_loss_has_the_gradient_of_the_hinge_loss() -> None:
    torch.manual_seed(0)
    discriminator = nn.Conv3d(3, 1, 1)
    crops, tokenizer = batch(2, 3, 1, 4, 4), Biased(torch.full((3, 1, 4, 4), 0.1))
    objective = Reconstruction(
        tokenizer,
        DISTANCES,
        discriminator,
        adversarial_weight=0.5,
        adversarial_start=3,
        adaptive_weight=False,
    )
    assert "adversarial" not in objective(crops, 2).parts
    loss = objective(crops, 3)
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert [p.grad for p in discriminator.parameters()] == [None, None]
    gradient, tokenizer.error.grad = tokenizer.error.grad, None
    reconstruction, _ = tokenizer(crops.videos)
    expected = (
        l1_distance(reconstruction, crops.videos)
        + 0.5 * difference_distance(reconstruction, crops.videos)
        - 0.5 * discriminator(reconstruction).mean()
    )
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss.total.detach(), expected.detach())
    torch.testing.assert_close(gradient, tokenizer.error.grad)


def test_the_adaptive_weight_gives_both_losses_gradients_of_one_norm() -> None:
    torch.manual_seed(0)
    discriminator = nn.Conv3d(3, 1, 1)
    reconstruction = (batch(2, 3, 1, 4, 4).videos + 0.1).requires_grad_(True)
    distance = reconstruction.square().mean()
    gradient, _, scale = generator_gradient(discriminator, reconstruction, distance, None)
    (of_distance,) = torch.autograd.grad(distance, reconstruction)
    scaled = scale[:, None, None, None, None] * gradient
    norms = [each.flatten(1).norm(dim=1) for each in (scaled, of_distance)]
    torch.testing.assert_close(*norms)


def test_the_discriminator_learns_from_the_hinge_loss_and_the_tokenizer_does_not() -> None:
    torch.manual_seed(0)
    crops, tokenizer, discriminator = batch(2, 3, 1, 4, 4), Biased(torch.tensor(0.3)), nn.Conv3d(3, 1, 1)
    loss = Adversarial(tokenizer, discriminator, r1_weight=0.0)(crops, 0)
    loss.total.backward()  # type: ignore[no-untyped-call]
    real, reconstructed = discriminator(crops.videos), discriminator(crops.videos + 0.3)
    expected = (1 - real).relu().mean() + (1 + reconstructed).relu().mean()
    torch.testing.assert_close(loss.total.detach(), expected.detach())
    assert tokenizer.error.grad is None
    assert discriminator.weight.grad is not None


def test_the_penalty_approximates_the_squared_gradient_of_the_discriminator() -> None:
    """Of a linear score w·x + b per place, E(D(x + s n) - D(x))² is s² |w|²."""
    torch.manual_seed(0)
    discriminator = nn.Conv3d(3, 1, 1)
    loss = Adversarial(Biased(torch.tensor(0.3)), discriminator, r1_weight=1.0)(batch(8, 3, 4, 32, 32), 0)
    expected = 0.01**2 * float(discriminator.weight.detach().square().sum())
    assert float(loss.parts["r1"]) == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
def test_vgg_distances(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    file = tmp_path / "vgg16.safetensors"
    torch.manual_seed(0)
    state = torchvision.models.vgg16(weights=None).features.state_dict()
    save_file({f"features.{name}": value for name, value in state.items()}, file)
    features = VGGFeatures(file)
    assert not any(p.requires_grad for p in features.parameters())
    video = batch(1, 3, 1, 32, 32).videos
    other = (video + 0.3).requires_grad_(True)
    for distance in (features.perceptual_distance, features.gram_distance):
        assert float(distance(video, video)) == 0
        value = distance(other, video)
        (gradient,) = torch.autograd.grad(value, other)
        assert float(value.detach()) > 0
        assert float(gradient.abs().sum()) > 0
    maps = [torch.rand(1, 4, 6, 6)]
    shuffled = [maps[0].flatten(2)[..., torch.randperm(36)].unflatten(2, (6, 6))]
    features.forward = lambda given: shuffled if given is other else maps  # type: ignore[method-assign]
    assert float(features.gram_distance(other, video).detach()) < 1e-6  # the places of features do not count
    save_file({"features.0.weight": torch.zeros(2)}, file)
    with pytest.raises(CheckpointError, match="do not match the network; missing: features"):
        VGGFeatures(file)


@pytest.mark.slow
def test_the_flow_distance_is_zero_of_equal_videos(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models.optical_flow")
    file = tmp_path / "raft.pth"
    torch.manual_seed(0)
    torch.save(models.raft_large(weights=None).state_dict(), file)
    flow = OpticalFlow(file, updates=1)
    video = batch(1, 3, 2, 128, 128).videos
    other = (video.flip(-1)).requires_grad_(True)
    assert float(flow.flow_distance(video, video)) == 0
    value = flow.flow_distance(other, video)
    (gradient,) = torch.autograd.grad(value, other)
    assert float(value.detach()) > 0
    assert float(gradient.abs().sum()) > 0
    assert float(flow.flow_distance(video[:, :, :1], video[:, :, :1])) == 0
    with pytest.raises(ValueError, match="128 px or more"):
        flow(video[..., :64])
