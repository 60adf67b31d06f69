"""Fixtures: a small tokenizer with random weights, and clips to encode."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from manifests import Artifact, Row, column
from manifests.stores.folder import FolderStore
from pipeline import Annotate, Dag
from pipeline.executor import Observer
from pipeline.executors.inline import Inline
from pipeline.planning.plan import build_plan
from stages.conditions.add_conditions import AddConditions
from stages.ingest.list_videos import ListVideos
from stages.latents.encode_latents import EncodeLatents
from stages.latents.pack_latents import PackLatents
from stages.latents.split_windows import SplitWindows

MakeClip = Callable[..., Artifact]


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a tokenizer of stride 4 x 8 x 8 with 6 channels."""
    import torch

    from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
    from training.tokenizers.weights import save_weights

    torch.manual_seed(0)
    config = PatchTokenizerConfig(channels=6, width=8, encoder_blocks=1, decoder_blocks=1)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.safetensors"
    save_weights(PatchTokenizer(config), path, {})
    return str(path)


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """make_clip(frames, fps, width, height) -> an mp4 in which a bright bar moves."""
    from stages.media.encoding.arrays import write_mp4

    def make(
        frames: int = 24, fps: int | Fraction = 24, width: int = 120, height: int = 68, seed: int = 0
    ) -> Artifact:
        path = tmp_path / f"{frames}-{float(fps)}-{width}-{height}-{seed}.mp4"
        noise = np.random.default_rng(seed).integers(0, 120, (height, width, 3), np.uint8)
        images = []
        for number in range(frames):
            image = noise.copy()
            image[:, (4 * number) % width : (4 * number) % width + 12] += 120
            images.append(image)
        write_mp4(path, images, fps, preset="ultrafast")
        return Artifact.of_file(path)

    return make


class ListedVideo(Row):
    uri: str


class WholeClip(Row):
    clip: Artifact = column("the file")
    clip_frames: int = column("number of frames")
    clip_duration_s: float = column("duration", unit="s")
    caption: str = column("the name of the file; nothing for one")
    start_s: float = column("always 0", unit="s")
    end_s: float = column("the duration", unit="s")
    split: str = column("validation for the last film")


class ReadClip(Annotate[ListedVideo, WholeClip]):
    """Adds a whole video as a clip."""

    def annotate(self, rows: Sequence[ListedVideo]) -> Iterator[WholeClip]:
        from stages.media.decoding.video import open_video

        for row in rows:
            with open_video(row.uri) as video:
                frames = list(video.frames())
                seconds = float((frames[-1].pts + frames[-1].duration - frames[0].pts) * video.time_base)
            path = Path(row.uri)
            yield WholeClip(
                clip=Artifact.of(path.read_bytes(), ".mp4"), clip_frames=len(frames), clip_duration_s=seconds,
                caption="" if path.stem == "1" else f"film {path.stem}", start_s=0.0, end_s=seconds,
                split="validation" if path.stem == "3" else "train",
            )  # fmt: skip


class NoObserver:
    """Observes nothing."""

    def observe(self, schedule: object) -> None: ...


PackStore = Callable[..., Path]


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four films of 112 x 64 px, of 2, 1, 3 and 2 windows of up to 17 frames."""
    from stages.media.encoding.arrays import write_mp4

    films = tmp_path_factory.mktemp("films")
    for number, frames in enumerate((34, 9, 47, 30)):
        noise = np.random.default_rng(number).integers(0, 200, (64, 112, 3), np.uint8)
        images = (np.roll(noise, 3 * t, 1) for t in range(frames))
        write_mp4(films / f"{number}.mp4", images, 12, preset="ultrafast")
    return films


@pytest.fixture(scope="session")
def pack_store(tokenizer: str, films: Path, tmp_path_factory: pytest.TempPathFactory) -> PackStore:
    """pack_store(tokenizer=…) -> a store with the packed windows of the films, or of those of `root`."""

    def run(root: Path = films, conditions: tuple[str, ...] = (), **settings: object) -> Path:
        dag = Dag("latents")
        clips = dag.read(ListVideos(root=str(root)), rows_per_part=3).annotate(ReadClip())
        windows = clips.expand(SplitWindows(window_frames=17)).keep("window_frames >= 5", because="too short")
        encode = EncodeLatents(**{"tokenizer": tokenizer, "short_side_px": 64, **settings})
        encoded = windows.annotate(encode)
        if conditions:
            encoded = encoded.annotate(AddConditions(conditions=conditions))
        dag.save(encoded.survey(PackLatents(shard_bytes=20_000)), "latents")
        store = tmp_path_factory.mktemp("packed")
        observer: Observer = NoObserver()
        Inline().run(build_plan(dag, FolderStore(store), "r"), observer)
        return store

    return run
