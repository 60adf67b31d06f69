"""The recurrent network predicts a frame from the two before it, and reads all conditions."""

from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from training.diffusion.conditioning import Conditioning
from training.networks.recurrent.conv_rnn import CONVRNN_CONFIGS, ConvRNN, ConvRNNConfig

SMALL = ConvRNNConfig(width=8, num_layers=1, channels=3, text_embed_dim=12)
SHAPE = (2, 3, 5, 6, 4)


def network_of(config: ConvRNNConfig) -> ConvRNN:
    """A network whose output is not zero."""
    network = ConvRNN(config)
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.15, generator=generator)
    return network


def inputs(given: tuple[int, int] = (1, 2)) -> tuple[Tensor, Tensor, Conditioning]:
    """Noisy latents, timesteps, and as many given frames in each of the two clips."""
    generator = torch.Generator().manual_seed(1)
    text = torch.randn(2, 5, 12, generator=generator)
    text_mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    mask = torch.zeros(2, 1, *SHAPE[2:])
    for clip, frames in enumerate(given):
        mask[clip, :, :frames] = 1
    latents = torch.randn(SHAPE, generator=generator)
    conditioning = Conditioning(
        text * text_mask[..., None],
        text_mask,
        condition_mask=mask,
        condition_latents=torch.randn(SHAPE, generator=generator),
    )
    return latents, torch.tensor([0.2, 0.9]), conditioning


def test_a_new_network_repeats_the_last_given_frame() -> None:
    latents, t, conditioning = inputs()
    assert conditioning.condition_latents is not None
    out = ConvRNN(SMALL)(latents, t, conditioning)
    for clip, frames in enumerate((1, 2)):
        last = conditioning.condition_latents[clip, :, frames - 1 : frames]
        assert torch.equal(out[clip, :, frames:], last.expand(-1, 5 - frames, -1, -1))
    difference = ConvRNN(replace(SMALL, concat_last_given=True))(latents, t, conditioning)
    assert not difference[0, :, 1:].any()
    assert not difference[1, :, 2:].any()


def test_a_frame_is_the_first_prediction_from_the_frames_before_it() -> None:
    """A clip whose predicted frames are given to a second call has the same next frame."""
    network = network_of(SMALL)
    latents, t, conditioning = inputs((2, 2))
    assert conditioning.condition_latents is not None
    out = network(latents, t, conditioning)
    shown = torch.cat([conditioning.condition_latents[:, :, :2], out[:, :, 2:]], 2)
    mask = torch.zeros(2, 1, *SHAPE[2:])
    mask[:, :, :4] = 1
    again = network(latents, t, replace(conditioning, condition_latents=shown, condition_mask=mask))
    torch.testing.assert_close(again[:, :, 4], out[:, :, 4])
    other = latents.clone()
    other[:, :, :2] += 1  # of frames that are given
    torch.testing.assert_close(network(other, t, conditioning)[:, :, 2:], out[:, :, 2:])


def test_a_frame_reads_no_later_frame_action_or_ray() -> None:
    network = network_of(replace(SMALL, action_dim=2, camera_injection="channels"))
    latents, t, conditioning = inputs()
    action, camera = torch.randn(2, 5, 2), torch.randn(2, 6, *SHAPE[2:])
    before = network(latents, t, replace(conditioning, action=action, camera=camera))
    for changed in (action, camera.transpose(1, 2), latents.transpose(1, 2)):
        changed[:, 3] += 1
        after = network(latents, t, replace(conditioning, action=action, camera=camera))
        torch.testing.assert_close(after[:, :, :3], before[:, :, :3])
        assert not torch.allclose(after[:, :, 3], before[:, :, 3], atol=1e-3)
        before = after


def test_a_clip_does_not_depend_on_the_batch_and_padding_of_text_does_not_count() -> None:
    network = network_of(SMALL)
    latents, t, conditioning = inputs()
    out = network(latents, t, conditioning)
    one = conditioning.map(lambda x: x[1:])
    assert one.text_embeddings is not None
    assert one.text_mask is not None
    one = replace(one, text_embeddings=one.text_embeddings[:, :2], text_mask=one.text_mask[:, :2])
    torch.testing.assert_close(network(latents[1:], t[1:], one)[:, :, 2:], out[1:, :, 2:])
    assert not torch.allclose(network(latents, t, conditioning.without_text()), out, atol=1e-3)


@pytest.mark.parametrize("condition", ["action", "camera"])
def test_conditions_begin_without_an_effect(condition: str) -> None:
    latents, t, conditioning = inputs()
    values = {"action": torch.ones(2, 5, 2), "camera": torch.ones(2, 6, *SHAPE[2:])}
    fields = {"action": {"action_dim": 2}, "camera": {"camera_injection": "channels"}}
    base, network = network_of(SMALL), ConvRNN(replace(SMALL, **fields[condition]))
    network.load_state_dict(base.state_dict(), strict=False)
    known = replace(conditioning, **{condition: values[condition]})
    torch.testing.assert_close(network(latents, t, known), base(latents, t, conditioning))


def test_frame_timesteps_padding_and_clips_without_given_frames() -> None:
    network = network_of(replace(SMALL, concat_padding_mask=True))
    latents, t, conditioning = inputs()
    out = network(latents, t, conditioning)
    torch.testing.assert_close(network(latents, t[:, None].expand(2, 5), conditioning), out)
    padded = replace(conditioning, padding_mask=torch.ones(2, 1, *SHAPE[3:]))
    assert not torch.allclose(network(latents, t, padded), out, atol=1e-3)
    alone = network(latents, t, replace(conditioning, condition_mask=None, condition_latents=None))
    assert alone.shape == latents.shape
    assert alone[:, :, 0].std() > 0.01


def test_wrong_inputs_and_configs_are_refused() -> None:
    network = network_of(replace(SMALL, camera_injection="channels"))
    with pytest.raises(ValueError, match=r"are not \[b 3 t h w\]"):
        network(torch.zeros(1, 4, 2, 4, 4), torch.ones(1), Conditioning())
    with pytest.raises(ValueError, match=r"rays of the camera \(2, 6, 4, 6, 4\) are not"):
        network(*inputs()[:2], Conditioning(camera=torch.zeros(2, 6, 4, 6, 4)))
    with pytest.raises(ValueError, match="camera_injection is 'block'"):
        replace(SMALL, camera_injection="block")
    with pytest.raises(ValueError, match="num_layers is 0"):
        replace(SMALL, num_layers=0)


def test_initial_weights_json_and_bf16() -> None:
    one, other = ConvRNN(SMALL), ConvRNN(SMALL, seed=1)
    more = ConvRNN(replace(SMALL, action_dim=2)).state_dict()
    assert all(torch.equal(more[name], value) for name, value in one.state_dict().items())
    assert not torch.equal(one.time_embed[0].weight, other.time_embed[0].weight)
    with torch.device("meta"):
        on_meta = ConvRNN(SMALL)
    on_meta.to_empty(device="cpu").reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(on_meta.parameters(), one.parameters(), strict=True))
    assert ConvRNNConfig(**asdict(SMALL)) == SMALL
    network, (latents, t, conditioning) = network_of(SMALL).requires_grad_(False), inputs()
    expected = network(latents, t, conditioning)
    out = network.to(torch.bfloat16)(latents, t, conditioning)
    assert out.dtype == torch.bfloat16
    assert float((out - expected).abs().mean() / expected.abs().mean()) < 0.05


@pytest.mark.parametrize("has_frame_timesteps", [False, True])
def test_flops_equal_the_count_of_torch(has_frame_timesteps: bool) -> None:
    network = network_of(replace(SMALL, action_dim=2, camera_injection="channels"))
    latents, t, conditioning = inputs((0, 0))
    conditioning = replace(conditioning, action=torch.ones(2, 5, 2), camera=torch.ones(2, 6, *SHAPE[2:]))
    t = t[:, None].expand(2, 5) if has_frame_timesteps else t
    with FlopCounterMode(display=False) as counted:
        network(latents, t, conditioning)
    assert network.flops(SHAPE, 5, has_frame_timesteps) == counted.get_total_flops()


def test_the_sizes() -> None:
    counts = {name: sum(p.numel() for p in ConvRNN(c).parameters()) for name, c in CONVRNN_CONFIGS.items()}
    assert counts["convrnn-nano"] < 1e6 < counts["convrnn-tiny"] < 4e6
