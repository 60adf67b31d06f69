"""The 3-D U-Net has the promised parts, takes latents of every size, and learns captions and actions."""

from dataclasses import asdict, dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from training.diffusion.conditioning import Conditioning
from training.diffusion.denoiser import PreconditionedDenoiser
from training.diffusion.loss_weight import NetworkOutputWeight
from training.diffusion.path import DDPM
from training.diffusion.preconditioning import EpsilonPreconditioning
from training.diffusion.timestep_sampler import Uniform
from training.networks.config import is_condition_layer
from training.networks.unet3d import UNET_CONFIGS, UNet3D, UNet3DConfig
from training.networks.unet_block import FilterHead
from training.networks.video_dit import VideoDiT, VideoDiTConfig
from training.objectives.denoising import Denoising
from training.sampler import default_grid
from training.samplers.ddim import DDIM

SMALL = UNet3DConfig(
    model_channels=8,
    layers_per_block=1,
    channels=3,
    attention_head_dim=8,
    text_embed_dim=12,
    norm_num_groups=4,
)


def network_of(config: UNet3DConfig) -> UNet3D:
    """A network whose output is not zero."""
    network = UNet3D(config)
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.2, generator=generator)
    return network


def inputs(shape: tuple[int, ...] = (2, 3, 4, 8, 8)) -> tuple[Tensor, Tensor, Conditioning]:
    generator = torch.Generator().manual_seed(1)
    text = torch.randn(2, 5, 12, generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    latents = torch.randn(shape, generator=generator)
    return latents, torch.tensor([0.2, 0.9]), Conditioning(text * mask[..., None], mask)


def test_the_parts_are_those_of_the_design() -> None:
    c = 32
    network = UNet3D(replace(UNET_CONFIGS["unet3d-tiny"], action_dim=7))
    sizes = [
        (m.in_features, m.out_features) if isinstance(m, nn.Linear) else type(m) for m in network.time_embed
    ]
    assert sizes == [(c, 4 * c), nn.GELU, (4 * c, 4 * c)]
    assert network.action_embed is not None
    sizes = [
        (m.in_features, m.out_features) if isinstance(m, nn.Linear) else type(m) for m in network.action_embed
    ]
    assert sizes == [(7, 256), nn.ReLU, (256, 4 * c)]
    assert [(d.in_channels, d.out_channels, d.stride) for d in network.downsamples] == [
        (c, 2 * c, (1, 2, 2)),
        (2 * c, 2 * c, (2, 2, 2)),
    ]
    blocks = [
        (b.conv1.in_channels, b.conv1.out_channels, b.attention is not None)
        for b in network.transformer_blocks
    ]
    encoder = [(c, c, False)] * 2 + [(2 * c, 2 * c, True)] * 2
    middle = [(2 * c, 2 * c, True), (2 * c, 2 * c, False)]
    decoder = [(4 * c, 2 * c, True)] * 2 + [(2 * c, c, False)] * 2
    assert blocks == encoder + middle + decoder


def test_a_new_network_predicts_zero_and_keeps_the_shape() -> None:
    latents, t, conditioning = inputs()
    out = UNet3D(SMALL)(latents, t, conditioning)
    assert out.shape == latents.shape
    assert not out.any()
    assert network_of(SMALL)(latents, t, conditioning).std() > 0.01


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 4, 4), (3, 5, 7), (2, 6, 9)])
def test_latents_of_every_size_are_padded_and_cropped(size: tuple[int, int, int]) -> None:
    network = network_of(SMALL)
    latents, t, conditioning = inputs((2, 3, *size))
    out = network(latents, t, conditioning)
    assert out.shape == latents.shape
    multiple = tuple(-(-n // m) * m for n, m in zip(size, (2, 4, 4), strict=True))
    padded = torch.nn.functional.interpolate(latents, size)  # a copy
    for axis, length in enumerate(multiple, start=2):
        last = padded.narrow(axis, padded.shape[axis] - 1, 1)
        padded = torch.cat([padded, *[last] * (length - padded.shape[axis])], axis)
    torch.testing.assert_close(network(padded, t, conditioning)[:, :, : size[0], : size[1], : size[2]], out)


def test_other_channels_and_sizes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match=r"are not \[b 3 t h w\]"):
        network_of(SMALL)(torch.zeros(1, 4, 2, 4, 4), torch.ones(1), Conditioning())
    with pytest.raises(ValueError, match="norm_num_groups is 5, which does not divide 8 channels"):
        replace(SMALL, norm_num_groups=5)
    with pytest.raises(ValueError, match="attention_head_dim is 32, which does not divide 16"):
        replace(SMALL, attention_head_dim=32)


def test_text_counts_and_its_padding_and_the_batch_do_not() -> None:
    network = network_of(SMALL)
    latents, t, conditioning = inputs()
    out = network(latents, t, conditioning)
    assert conditioning.text_embeddings is not None
    assert conditioning.text_mask is not None
    short = Conditioning(conditioning.text_embeddings[1:, :2], conditioning.text_mask[1:, :2])
    torch.testing.assert_close(network(latents[1:], t[1:], short), out[1:])
    without = network(latents, t, Conditioning())
    assert not torch.allclose(without, out, atol=1e-3)
    torch.testing.assert_close(network(latents, t, conditioning.without_text()), without)


def test_a_timestep_per_frame_equals_one_per_clip_if_they_are_equal() -> None:
    network = network_of(SMALL)
    latents, t, conditioning = inputs((2, 3, 3, 8, 8))
    out = network(latents, t, conditioning)
    frames = t[:, None].expand(2, 3)
    torch.testing.assert_close(network(latents, frames, conditioning), out)
    assert not torch.allclose(
        network(latents, frames * torch.tensor([0.1, 1, 1]), conditioning), out, atol=1e-3
    )


def test_actions_and_masks_count() -> None:
    network = network_of(replace(SMALL, action_dim=2, concat_condition_mask=True, concat_padding_mask=True))
    latents, t, text = inputs((2, 3, 3, 8, 8))
    plain = network(latents, t, text)
    size = latents.shape
    for changed in (
        replace(text, action=torch.ones(2, 3, 2)),
        replace(text, condition_mask=torch.ones(2, 1, *size[2:])),
        replace(text, padding_mask=torch.ones(2, 1, *size[3:])),
    ):
        assert not torch.allclose(network(latents, t, changed), plain, atol=1e-4)
    first, last = torch.zeros(2, 3, 2), torch.zeros(2, 3, 2)
    first[:, 1], last[:, 2] = 1, 1
    assert not torch.allclose(
        network(latents, t, replace(text, action=first)),
        network(latents, t, replace(text, action=last)),
        atol=1e-4,
    )
    unknown = replace(text, action=torch.ones(2, 3, 2)).without_action()
    torch.testing.assert_close(network(latents, t, unknown), plain)


def test_actions_begin_without_an_effect() -> None:
    latents, t, text = inputs((2, 3, 3, 8, 8))
    with_actions = replace(text, action=torch.ones(2, 3, 2))
    base, network = network_of(SMALL), UNet3D(replace(SMALL, action_dim=2))
    network.load_state_dict(base.state_dict(), strict=False)
    torch.testing.assert_close(network(latents, t, with_actions), base(latents, t, text))


def with_camera(conditioning: Conditioning, latents: Tensor, given_frames: int = 1) -> Conditioning:
    """Random rays, and given frames at the start."""
    generator = torch.Generator().manual_seed(5)
    b, _, *size = latents.shape
    mask = torch.zeros(b, 1, *size)
    mask[:, :, :given_frames] = 1
    rays = torch.randn(b, 6, *size, generator=generator)
    return replace(conditioning, camera=rays, condition_mask=mask, condition_latents=latents)


def test_rays_count_begin_without_an_effect_and_can_be_dropped() -> None:
    latents, t, text = inputs((2, 3, 3, 5, 7))
    known = with_camera(text, latents)
    for changes in ({}, {"concat_last_given": True}, {"concat_last_given": True, "given_filters": 2}):
        base = network_of(replace(SMALL, **changes))
        config = replace(SMALL, camera_injection="channels", **changes)
        network = UNet3D(config)
        missing, unexpected = network.load_state_dict(base.state_dict(), strict=False)
        assert all(map(is_condition_layer, missing))
        assert not unexpected
        expected = base(latents, t, known)
        torch.testing.assert_close(network(latents, t, known), expected)
        network = network_of(config)
        without = network(latents, t, known.without_camera())
        torch.testing.assert_close(network(latents, t, replace(known, camera=None)), without)
        assert not torch.allclose(network(latents, t, known), without, atol=1e-3)
    with pytest.raises(
        ValueError, match=r"the rays of the camera \(2, 6, 3, 5, 6\) are not \(2, 6, 3, 5, 7\)"
    ):
        network(latents, t, replace(known, camera=torch.zeros(2, 6, 3, 5, 6)))
    with pytest.raises(ValueError, match="camera_injection is 'block'; None or 'channels'"):
        replace(SMALL, camera_injection="block")


def test_the_motion_of_the_camera_begins_at_the_last_given_frame() -> None:
    latents, _, text = inputs((2, 3, 4, 8, 8))
    known = with_camera(text, latents, 2)
    assert known.camera is not None
    assert known.condition_mask is not None
    none_given = known.condition_mask.clone()
    none_given[1] = 0
    motion = replace(known, condition_mask=none_given).camera_motion()
    assert motion is not None
    assert torch.equal(motion[0], known.camera[0] - known.camera[0, :, 1:2])
    assert not motion[1].any()
    nothing = replace(known, condition_mask=None).camera_motion()
    assert nothing is not None
    assert not nothing.any()
    assert text.camera_motion() is None


def test_filters_are_linear_in_the_last_given_frame_and_zero_at_first() -> None:
    latents, t, text = inputs((2, 3, 2, 8, 8))
    known = with_camera(text, latents)
    new = UNet3D(replace(SMALL, concat_last_given=True, given_filters=3, camera_injection="channels"))
    assert not new(latents, t, known).any()
    head = FilterHead(4, 3, 2, 6)
    generator = torch.Generator().manual_seed(2)
    for weight in head.parameters():
        nn.init.normal_(weight, std=0.2, generator=generator)
    x, last = torch.randn(2, 4, 2, 8, 8, generator=generator), latents[:, :, :1]
    torch.testing.assert_close(head(x, 2 * last, known.camera), 2 * head(x, last, known.camera))
    plain, one = head(x, last, None), head(x, last, known.camera)
    assert known.camera is not None
    torch.testing.assert_close(head(x, last, 2 * known.camera) - plain, 2 * (one - plain))


def test_the_last_given_frame_is_an_input_of_each_frame() -> None:
    network = network_of(replace(SMALL, concat_last_given=True))
    seen: list[Tensor] = []
    network.conv_in.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    latents, t, text = inputs()
    mask = torch.zeros(2, 1, *latents.shape[2:])
    mask[0, :, :2] = 1
    network(latents, t, replace(text, condition_mask=mask, condition_latents=latents))
    network(latents, t, text)
    assert torch.equal(seen[0][0, 3:], latents[0, :, 1:2].expand(-1, 4, -1, -1))
    assert not seen[0][1, 3:].any()
    assert not seen[1][:, 3:].any()


def test_initial_weights_depend_only_on_the_seed_and_the_name() -> None:
    torch.manual_seed(1)
    one, other = UNet3D(SMALL), UNet3D(SMALL, seed=1)
    torch.manual_seed(2)
    more_layers = UNet3D(replace(SMALL, action_dim=2)).state_dict()
    for name, value in one.state_dict().items():
        assert torch.equal(more_layers[name], value), name
    assert not torch.equal(one.conv_in.weight, other.conv_in.weight)
    weight = UNet3D(UNET_CONFIGS["unet3d-tiny"]).transformer_blocks[0].conv1.weight
    assert float(weight.detach().std()) == pytest.approx((27 * 32) ** -0.5, rel=0.05)
    with torch.device("meta"):
        on_meta = UNet3D(SMALL)
    on_meta.to_empty(device="cpu").reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(on_meta.parameters(), one.parameters(), strict=True))


def test_the_config_survives_json_and_bf16_works() -> None:
    values = asdict(SMALL)
    values["strides"] = [list(stride) for stride in values["strides"]]
    assert UNet3DConfig(**values) == SMALL
    latents, t, conditioning = inputs()
    network = network_of(SMALL).requires_grad_(False)
    expected = network(latents, t, conditioning)
    out = network.to(torch.bfloat16)(latents, t, conditioning)
    assert out.dtype == torch.bfloat16
    assert float((out - expected).abs().mean() / expected.abs().mean()) < 0.05


@pytest.mark.parametrize(
    ("action_dim", "per_frame", "camera"),
    [(0, False, False), (0, True, False), (2, False, False), (0, False, True)],
)
def test_flops_equal_the_count_of_torch(action_dim: int, per_frame: bool, camera: bool) -> None:
    network = network_of(replace(SMALL, action_dim=action_dim))
    latents, t, conditioning = inputs((2, 3, 4, 6, 8))
    if camera:
        config = replace(SMALL, camera_injection="channels", concat_last_given=True, given_filters=2)
        network, conditioning = network_of(config), with_camera(conditioning, latents)
    if action_dim:
        conditioning = replace(conditioning, action=torch.ones(2, 4, 2))
    t = t[:, None].expand(2, 4) if per_frame else t
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        network(latents, t, conditioning)
    assert network.flops((2, 3, 4, 6, 8), 5, per_frame) == counted.get_total_flops()


@dataclass
class Batch:
    positions: range
    latents: Tensor
    captions: list[str]
    conditioning: Conditioning


def two_captions_and_actions(size: int) -> tuple[Tensor, Conditioning]:
    """The means of both channels, [b 2 1 1 1]. The caption gives the first one, the action the second."""
    first = torch.tensor([-1.0, 1.0]).repeat(size // 2)
    second = torch.tensor([-1.0, -1.0, 1.0, 1.0]).repeat(size // 4)
    text = torch.where(first[:, None] > 0, torch.eye(8)[0], torch.eye(8)[1])[:, None]
    action = torch.stack([second, -second], 1)[:, None]
    mask = torch.ones(size, 1, dtype=torch.int64)
    return torch.stack([first, second], 1)[..., None, None, None], Conditioning(
        text, mask, action=action, action_mask=torch.ones(size, 1)
    )


@pytest.mark.parametrize(
    ("network", "channels_learned", "size", "steps"),
    [
        pytest.param(
            UNet3D(UNet3DConfig(8, 1, 2, 8, text_embed_dim=8, action_dim=2, norm_num_groups=2)),
            2,
            32,
            400,
            marks=pytest.mark.slow,
            id="unet3d",
        ),
        pytest.param(
            VideoDiT(VideoDiTConfig(2, 18, 1, 2, text_embed_dim=8, adaln_lora_dim=16)),
            1,
            16,
            300,
            id="video_dit",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_learns_two_captions_and_two_actions_with_ddpm(
    network: nn.Module, channels_learned: int, size: int, steps: int
) -> None:
    """The loss is that of the noise, and DDIM takes 50 of the 1000 steps. VideoDiT has no actions."""
    path = DDPM()
    p = EpsilonPreconditioning(path)
    denoiser = PreconditionedDenoiser(network, path, p)
    objective = Denoising(
        denoiser, path, NetworkOutputWeight(p), Uniform(num_timesteps=1000), text_dropout=0.1
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=8e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=steps)
    means, conditioning = two_captions_and_actions(size)
    generator = torch.Generator().manual_seed(3)
    for step in range(steps):
        latents = means + 0.3 * torch.randn(size, 2, 1, 4, 4, generator=generator)
        batch = Batch(range(size * step, size * step + size), latents, [""] * size, conditioning)
        optimizer.zero_grad()
        objective(batch, step).total.backward()
        optimizer.step()
        schedule.step()
    noise = torch.randn(size, 2, 1, 4, 4, generator=generator)
    with torch.inference_mode():
        samples = DDIM(clip_sample_range=3.0)(denoiser, path, noise, conditioning, default_grid(path, 50))
    for channel in range(channels_learned):
        for sign in (-1.0, 1.0):
            values = samples[means[:, channel, 0, 0, 0] == sign, channel]
            assert float(values.mean()) == pytest.approx(sign, abs=0.3)
            assert 0.1 < float(values.std()) < 0.7
