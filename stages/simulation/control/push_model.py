"""Opens a world model of the push task, and refuses one of other actions."""

from pathlib import Path

from manifests import ClipmillError
from stages.simulation.push_task import ACTION_SPEC, PushTask
from training.control.world_dynamics import WorldModelDynamics


def open_push_model(model: Path, tokenizer: str = "", num_inference_steps: int = 1) -> WorldModelDynamics:
    """Load a model that predicts images of the push task.

    Args:
        model: Its folder or file.
        tokenizer: Path of its tokenizer; "" takes the recorded one.
        num_inference_steps: Steps of the sampler.

    Raises:
        ClipmillError: There is no such model, it cannot be planned in, or its actions, rate or images are not
            those of the task.
    """
    dynamics = WorldModelDynamics.open(model, tokenizer, num_inference_steps)
    found, needed = dynamics.actions, ACTION_SPEC
    height, width = dynamics.size
    differences = [
        ("names of actions", found.names, tuple(needed["names"])),
        ("units of actions", found.units, tuple(needed["units"])),
        ("frame of actions", found.frame, needed["frame"]),
        ("actions per second", dynamics.spec.rate, PushTask.rate),
        ("width of images", width, height),
    ]
    for name, own, other in differences:
        if own != other:
            raise ClipmillError(
                f"the {name} of the model: {own}; of the push task: {other}",
                where=str(model),
                remedy="train on the latents of `clipmill simulate action` of this version",
            )
    return dynamics
