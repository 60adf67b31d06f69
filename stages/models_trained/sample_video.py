"""Sample videos from a trained model: one mp4, in which each caption's video follows the one before."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from io import BytesIO

from manifests import Artifact, Row, column
from pipeline import Annotate, Needs
from stages.media.encode import write_mp4


class TrainedModel(Row):
    id: str
    model: Artifact


class SampledVideo(Row):
    video: Artifact = column("mp4 of the sampled videos, one after another")
    video_frames: int = column("frames of the video", unit="frames")
    video_width_px: int = column("width of the video", unit="px")
    video_height_px: int = column("height of the video", unit="px")
    video_fps: float = column("frame rate of the video", unit="1/s")


class SampleVideo(Annotate[TrainedModel, SampledVideo]):
    """The same model, settings and seed give the same bytes on the same kind of machine."""

    captions: tuple[str, ...] = ("",)
    frames: int = 0  # 1 + 4k; 0 as most seen in training, as are:
    height: int = 0
    width: int = 0
    steps: int = 20  # of the sampler
    guidance: float = 2.0
    seed: int = 0
    tokenizer: str = ""  # its path, where it is not a bundled one

    needs = Needs(cpus=2, memory_gb=2)

    def annotate(self, rows: Sequence[TrainedModel]) -> Iterator[SampledVideo]:
        from training.recipes.sampling import Wish, sample

        for row in rows:
            with row.model.local() as path:
                sampled = sample(path, Wish(**self.settings()))
            pictures = sampled.videos.reshape(-1, *sampled.videos.shape[2:])
            film = BytesIO()
            write_mp4(film, pictures, Fraction(sampled.fps).limit_denominator(1001), crf=18)
            yield SampledVideo(
                video=Artifact.of(film.getvalue(), ".mp4"),
                video_frames=len(pictures),
                video_width_px=pictures.shape[2],
                video_height_px=pictures.shape[1],
                video_fps=sampled.fps,
            )
