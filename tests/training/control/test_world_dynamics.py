"""A world model as a model of the dynamics: the images and actions it gets, and models that are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from training.conditions.spec import ActionSpec, ConditionSpec
from training.control import world_dynamics
from training.control.dynamics import History
from training.control.world_dynamics import WorldModelDynamics
from training.diffusion.config import DiffusionConfig
from training.errors import SettingError
from training.model import MODEL_FILE, ModelInfo, save_model
from training.networks.config import VideoDiTConfig
from training.tokenizers import tokenizer_digest
from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
from training.tokenizers.weights import save_weights
from training.world_model import WorldModel

FRAMES, PX = 5, 16
SPEC = ConditionSpec(12.0, ActionSpec(("x", "y"), ("m/s", "m/s"), "table", (0.5, 0.0), (0.5, 2.0)), None)

WriteModel = Callable[..., Path]


@pytest.fixture
def write_model(tmp_path: Path) -> WriteModel:
    """write_model(stride_time=1, training={…}, conditions={…}) -> the folder of an untrained model."""

    def write(stride_time: int = 1, **changes: Any) -> Path:
        torch.manual_seed(0)
        config = PatchTokenizerConfig((stride_time, 4, 4), 16, 8, 1, 1)
        tokenizer = tmp_path / "tokenizer.safetensors"
        save_weights(PatchTokenizer(config), tokenizer, {})
        conditions = changes.pop("conditions", SPEC.to_json())
        network = VideoDiTConfig(
            num_attention_heads=2, attention_head_dim=18, num_layers=1, action_dim=2 if conditions else 0
        )
        info = ModelInfo(
            network=network,
            diffusion=DiffusionConfig(has_frame_timesteps=True),
            text_encoder={"name": "none"},
            flow_shift=1.0,
            latents={"tokenizer": str(tokenizer), "digest": tokenizer_digest(str(tokenizer))},
            fps=12.0,
            latent_shapes=[(16, FRAMES, PX // 4, PX // 4)],
            training={"conditional_frames": (0.0, 0.5, 0.5)},
            conditions=conditions,
        )
        world = WorldModel(network, info.diffusion, "none")
        for parameter in world.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        save_model(tmp_path / MODEL_FILE, world.state_dict(), ModelInfo(**(vars(info) | changes)))
        return tmp_path

    return write


def make_history(images: int, seed: int = 0) -> History:
    rng = torch.Generator().manual_seed(seed)
    observations = torch.randint(0, 255, (images, PX, PX, 3), generator=rng).to(torch.uint8)
    return History(observations, torch.rand(images - 1, 2, generator=rng))


def test_the_prediction_has_an_image_for_each_action(write_model: WriteModel) -> None:
    dynamics = WorldModelDynamics.open(write_model())
    assert dynamics.size == (PX, PX)
    for images, steps in ((1, 1), (1, 4), (3, 3), (4, 8)):  # 8 actions need several chunks
        actions = torch.rand(3, steps, 2) * 2 - 1
        predicted = dynamics.predict([make_history(images)], actions)
        assert predicted.shape == (3, steps, PX, PX, 3)
        assert predicted.dtype == torch.uint8
        assert predicted.equal(dynamics.predict([make_history(images)], actions))
    others = dynamics.predict([make_history(4, seed) for seed in (0, 1, 2)], actions)
    assert others[0].equal(predicted[0])
    assert not others[1].equal(predicted[1])


def test_an_action_stands_at_the_frame_that_it_leads_to(
    write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamics, chunks = WorldModelDynamics.open(write_model()), []
    sample = world_dynamics.sample_latents

    def record(*args: Any, given: Tensor, known: Any, **options: Any) -> Tensor:
        chunks.append((given, known))
        return sample(*args, given=given, known=known, **options)

    monkeypatch.setattr(world_dynamics, "sample_latents", record)
    history, actions = make_history(3), torch.rand(1, 4, 2)
    predicted = dynamics.predict([history], actions)
    wanted = torch.cat([history.actions[-1:], actions[0]])  # the two newest images are given
    wanted = (wanted - torch.tensor([0.5, 0.0])) / torch.tensor([0.5, 2.0])
    (given, known), (later_given, later) = chunks
    assert given[0].equal(history.observations[-2:])
    assert torch.allclose(known.action[0, 1:], wanted[:4], atol=1e-6)
    assert known.action_mask[0].tolist() == [0, 1, 1, 1, 1]
    assert later_given[0].equal(predicted[0, 1:3])  # frames 3 and 4 of the video
    assert torch.allclose(later.action[0, 1:3], wanted[3:5], atol=1e-6)


def test_models_that_cannot_plan_are_refused(write_model: WriteModel) -> None:
    with pytest.raises(SettingError, match="reads no actions"):
        WorldModelDynamics.open(write_model(conditions={}))
    with pytest.raises(SettingError, match="a latent frame of the model is 4 frames"):
        WorldModelDynamics.open(write_model(stride_time=4))
    with pytest.raises(SettingError, match="not trained to be given one image"):
        WorldModelDynamics.open(write_model(training={"conditional_frames": (1.0,)}))
    dynamics = WorldModelDynamics.open(write_model())
    wrong = History(torch.zeros(1, 8, 12, 3, dtype=torch.uint8), torch.zeros(0, 2))
    with pytest.raises(SettingError, match="images are 12 x 8 px, and those of the model 16 x 16"):
        dynamics.predict([wrong], torch.zeros(1, 1, 2))
