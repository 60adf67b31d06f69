"""What any training on shards needs: its clips, its steps and where it runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.errors import SettingError
from training.settings.data import ClipSettings
from training.settings.diffusion import GivenSettings
from training.settings.evaluation import ValidationSettings
from training.settings.execution import ExecutionSettings
from training.settings.model import ModelSettings
from training.settings.optimization import StepSettings


@dataclass(frozen=True, kw_only=True)
class RunSettings(
    ValidationSettings, ExecutionSettings, ClipSettings, StepSettings, GivenSettings, ModelSettings
):
    """The settings that all trainings on shards have, and their shards.

    Attributes:
        data: (tar, index) of each shard.
        data_sizes: Number of shards of each data set, whose shards follow each other in `data`; () is one.
        data_weights: Weight of each data set. Its share of the steps is its weight divided by the sum of all;
            higher values train more on it. With image_share, this holds for the steps of images and for those
            of videos, among the data sets that have some. (): every clip is read as often as any other.
        validation_data: (tar, index) of each shard of held-out clips, which evaluate the trained model.
        skip_samples: Text file with the ids of clips that are not trained on, one per line; "" skips none.
        quiet: Print no progress.
    """

    data: Sequence[tuple[str, str]]
    data_sizes: tuple[int, ...] = ()
    data_weights: tuple[float, ...] = ()
    validation_data: Sequence[tuple[str, str]] = ()
    skip_samples: str = ""
    quiet: bool = False

    def check_data_sets(self) -> None:
        """Check that each data set has a weight.

        Raises:
            SettingError: It does not.
        """
        sizes = self.data_sizes or (len(self.data),)
        if sum(sizes) != len(self.data):
            raise SettingError(f"data_sizes {sizes} do not add up to the {len(self.data)} shards of data")
        if self.data_weights and (len(self.data_weights) != len(sizes) or min(self.data_weights) <= 0):
            raise SettingError(
                f"data_weights is {self.data_weights}; it must have a number above 0 for each of the"
                f" {len(sizes)} data sets",
                remedy="name each data set with --data, in the order of the weights",
            )
