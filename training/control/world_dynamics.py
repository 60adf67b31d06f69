"""A trained video model as a model of the dynamics: it predicts the images after actions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.conditions.reader import ConditionReader
from training.control.dynamics import History
from training.errors import SettingError
from training.model import ModelInfo, load_model, spec_of_conditions
from training.recipes.rollout import condition_window, encode_conditions, roll_out
from training.recipes.sampling import decode_frames, open_tokenizer, sample_latents
from training.recipes.sampling_request import SamplingRequest
from training.world_model import WorldModel


class WorldModelDynamics:
    """Implements `training.control.dynamics.Dynamics` on images, uint8 [k h w 3].

    Each call samples chunks as long as the clips of the training. A chunk begins with the newest images, as
    many as the model was trained to be given, with the actions between them. Where actions end before a
    chunk, the last one is repeated, and the frames after it are left out.

    Args:
        world, info: The result of `load_model`.
        tokenizer: Name or path of the tokenizer; "" takes the recorded one.
        num_inference_steps: Steps of the sampler, Euler. One step predicts the mean of what is possible,
            which is the outcome of actions if it is certain.
        seed: Seed of the noise of the sampler. All calls and all sequences have the noise of their number.

    Raises:
        SettingError: The model reads no actions, was never given images, or has latent frames of several
            frames, so that it cannot predict what one action leads to.
    """

    def __init__(
        self,
        world: WorldModel,
        info: ModelInfo,
        tokenizer: str = "",
        num_inference_steps: int = 1,
        seed: int = 0,
    ) -> None:
        spec = spec_of_conditions(info)
        if spec is None or spec.action is None:
            raise SettingError(
                "the model reads no actions", remedy="train one with conditions=action on clips with actions"
            )
        self.world, self.info, self.spec, self.actions = world, info, spec, spec.action
        self.tokenizer = open_tokenizer(tokenizer, info.latents)
        stride = self.tokenizer.stride
        if stride.time > 1:
            raise SettingError(
                f"a latent frame of the model is {stride.time} frames, and a plan needs each of them",
                remedy="train on latents of a tokenizer with a temporal stride of 1",
            )
        odds = info.training.get("conditional_frames", (1.0,))
        self.given = [number for number, share in enumerate(odds) if number and share > 0]
        if 1 not in self.given:
            raise SettingError(
                "the model was not trained to be given one image, with which an episode begins",
                remedy="train it with conditional_frames such as 0,0.3,0.7",
            )
        self.latent_shape = tuple(info.latent_shapes[0])
        self.size = self.latent_shape[2] * stride.height, self.latent_shape[3] * stride.width
        self.reader = ConditionReader(spec, stride)
        self.request = SamplingRequest(
            prompt=("",),
            sampler="euler",
            num_inference_steps=num_inference_steps,
            guidance_scale=1.0,
            seed=seed,
        )

    @classmethod
    def open(cls, model: Path, tokenizer: str = "", num_inference_steps: int = 1) -> "WorldModelDynamics":
        """Load a model, from its folder or file.

        Raises:
            CheckpointError: There is no model, or the tokenizer is not the one that it was trained with.
            SettingError: See the class.
        """
        world, info = load_model(model)
        return cls(world, info, tokenizer, num_inference_steps)

    def predict(self, histories: Sequence[History], actions: Tensor) -> Tensor:
        """See `Dynamics`. All histories have the same length.

        Raises:
            SettingError: The images are not of the size of the model.
        """
        n, steps = actions.shape[:2]
        if tuple(histories[0].observations.shape[1:3]) != self.size:
            height, width = histories[0].observations.shape[1:3]
            raise SettingError(
                f"images are {width} x {height} px, and those of the model {self.size[1]} x {self.size[0]}"
            )
        frames = self.latent_shape[1]
        newest = max(k for k in self.given if k <= len(histories[0].observations) and k < frames)
        given = torch.stack([history.observations[-newest:] for history in histories])
        past = torch.stack(
            [history.actions[len(history.actions) - newest + 1 :] for history in histories]
        ).expand(n, -1, -1)
        conditions = {"action": torch.cat([past, actions], 1)}

        def sample_chunk(
            number: int, first: int, shown: npt.NDArray[np.uint8] | None
        ) -> npt.NDArray[np.uint8]:
            window = condition_window(conditions, first, frames)
            known = encode_conditions(self.reader, window, (self.latent_shape[2], self.latent_shape[3]))
            images = given if shown is None else torch.from_numpy(np.ascontiguousarray(shown))
            request = SamplingRequest(**{**vars(self.request), "prompt": ("",) * n})
            latents = sample_latents(
                self.world, self.info, self.tokenizer, request, given=images, known=known, chunk=number
            )
            return decode_frames(latents, self.tokenizer, self.info.latent_statistics, together=True)

        shown = roll_out(sample_chunk, newest + steps, newest)
        return torch.from_numpy(np.ascontiguousarray(shown[:, newest:]))
