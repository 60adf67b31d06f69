"""Evaluates a folder of generated films against a folder of reference films."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.errors import TrainingError
from training.evaluation.video_frames import VideoError
from training.evaluation.world.candidates import Partner, is_other_condition, make_candidates, order_partners
from training.evaluation.world.conditions import Conditions, read_conditions, read_masks
from training.evaluation.world.films import (
    Footage,
    Pair,
    count_common_frames,
    find_films,
    pair_films,
    read_film,
    read_generated,
)
from training.evaluation.world.fvd import FvdRows
from training.evaluation.world.judge import judge_table, read_answers
from training.evaluation.world.measure import (
    CONDITION_ROWS,
    MODEL,
    OTHER,
    Candidate,
    Clip,
    Measure,
)
from training.evaluation.world.measures.instruction import Instruction
from training.evaluation.world.measures.objects import Objects
from training.evaluation.world.report import WorldReport
from training.evaluation.world.table import Table
from training.evaluation.world.views import evaluate_views
from training.metrics.world.matches import Frames


@dataclass(frozen=True)
class Request:
    """What is evaluated.

    Attributes:
        videos: Folder of generated films, NAME.mp4, or NAME__SEED.mp4 for several seeds.
        reference: Folder of reference films, with NAME.conditions.parquet and NAME.masks.npz where they
            exist.
        measures: The measures.
        further: Folders of more films by the row that they make, with the same names.
        given_frames: Frames at the start that the model was given.
        cross_view: Whether recordings of several cameras (RECORDING/CAMERA.mp4) are measured between the
            views.
        fvd: Computes FVD; None leaves it out.
        seed: Of the choice of other clips, and of the bootstrap.
        answers: Parquet file of answers about the films; None leaves them out.
    """

    videos: Path
    reference: Path
    measures: Sequence[Measure]
    further: Mapping[str, Path] = field(default_factory=dict)
    given_frames: int = 1
    cross_view: bool = False
    fvd: FvdRows | None = None
    seed: int = 0
    answers: Path | None = None


def evaluate_world(request: Request) -> WorldReport:
    """Measure all films that have a reference. A film that cannot be measured is named, and the rest goes on.

    Raises:
        SettingError: A folder has no films, no film has a reference, or the answers are of other films.
        TrainingError: No film could be measured.
    """
    judged = read_answers(request.answers) if request.answers else None
    pairs, failed = pair_films(request.videos, request.reference)
    further = {row: find_films(folder) for row, folder in request.further.items()}
    tables = [Table(each.name, each.columns, each.main) for each in request.measures]
    report = WorldReport(request.videos, request.reference, tables, failed, request.seed)
    found_places = [each.places for each in request.measures if isinstance(each, Objects | Instruction)]
    for places in {id(each): each for each in found_places}.values():
        places.fit(_references(pairs, request.given_frames))
    for table, measure in zip(tables, request.measures, strict=True):
        table.columns, table.main = measure.columns, measure.main
    evaluation = _Evaluation(request, {pair.name: pair for pair in pairs}, further, report)
    for number, pair in enumerate(pairs):
        print(f"{number + 1}/{len(pairs)} {pair.name}", file=sys.stderr, flush=True)
        try:
            evaluation.add(pair)
        except VideoError as error:
            failed[pair.name] = str(error)
            print(f"not measured: {pair.name}: {error}", file=sys.stderr, flush=True)
    if not report.films:
        raise TrainingError(
            "no film could be measured",
            where=str(request.videos),
            remedy="see the messages above, one per film",
        )
    for table, measure in zip(tables, request.measures, strict=True):
        table.notes = measure.notes()
    if request.cross_view:
        report.tables.append(evaluate_views(pairs, further, failed))
    if judged is not None:
        report.tables.append(judge_table(*judged, report))
    if request.fvd is not None:
        report.fvd = request.fvd.distances()
    return report


def read_clip(pair: Pair, given_frames: int) -> Clip:
    """The reference of a pair, with all its frames.

    Raises:
        VideoError: It cannot be read, or its sidecar or masks are wrong.
    """
    frames, rate = read_film(pair.reference)
    size = (frames.shape[1], frames.shape[2])
    conditions = read_conditions(pair.reference, len(frames), rate, size)
    masks = read_masks(pair.reference, (len(frames), *size))
    return Clip(pair.name, Footage(frames), rate, conditions, masks, given_frames)


def _references(pairs: Sequence[Pair], given_frames: int) -> Iterator[Clip]:
    """The references that can be read; messages about the others follow when they are measured."""
    for pair in pairs:
        try:
            yield read_clip(pair, given_frames)
        except VideoError:
            continue


@dataclass
class _Evaluation:
    """The evaluation of one pair after the other."""

    request: Request
    pairs: Mapping[str, Pair]
    further: Mapping[str, Mapping[str, Path]]
    report: WorldReport

    def __post_init__(self) -> None:
        self._partners = order_partners(list(self.pairs), self.request.seed)
        self._conditions: dict[str, Conditions] = {}

    def add(self, pair: Pair) -> None:
        """Measure all rows of a pair.

        Raises:
            VideoError: A film of the pair cannot be measured.
        """
        whole = read_clip(pair, self.request.given_frames)
        self._conditions[pair.name] = whole.conditions
        size = (whole.footage.frames.shape[1], whole.footage.frames.shape[2])
        films = {
            MODEL: {file.stem: read_generated(file, size, whole.rate) for file in pair.generated},
        }
        for row, files in self.further.items():
            if pair.name in files:
                film = read_generated(files[pair.name], size, whole.rate)
                films[row] = {f"{pair.name} of {row}": film}
            else:
                self.report.failed[f"{row}: {pair.name}"] = "there is no film of this name"
        every = {name: film for row in films.values() for name, film in row.items()}
        count = count_common_frames(every, whole.footage.frames, self.request.given_frames)
        clip = _cut(whole, count)
        footage = {row: [Footage(film[:count]) for film in found.values()] for row, found in films.items()}
        candidates = make_candidates(clip, footage, self._partner(clip))
        lengths = {name: len(film) for name, film in every.items()} | {
            "the reference": len(whole.footage.frames)
        }
        paths = {row: self.further[row][pair.name] for row in films if row != MODEL}
        self.report.add_clip(pair, clip, candidates, lengths, paths)
        self._measure(clip, candidates)
        if self.request.fvd is not None:
            self.request.fvd.add(candidates)

    def _measure(self, clip: Clip, candidates: Mapping[str, Sequence[Candidate]]) -> None:
        for table, measure in zip(self.report.tables, self.request.measures, strict=True):
            why = measure.missing(clip)
            if why:
                table.missing[clip.name] = why
                continue
            for row, films in candidates.items():
                if row in CONDITION_ROWS and not measure.reads_condition:
                    continue
                if row == OTHER and measure.reads_condition:
                    continue
                table.add(row, clip.name, [measure.measure(film, clip) for film in films])

    def _partner(self, clip: Clip) -> Partner | None:
        """Another clip: the first in the seeded order with another condition, else without a condition."""
        names, count = self._partners[clip.name], len(clip.footage.frames)
        has_condition = clip.conditions.poses is not None or clip.conditions.region is not None
        for name in names if has_condition else ():
            other = self._read_conditions(name)
            if other.poses is not None and len(other.poses) < count:
                continue
            cut = other.head(count)
            if is_other_condition(clip.conditions, cut):
                return Partner(name, self._film(name, clip), cut)
        return Partner(names[0], self._film(names[0], clip), None) if names else None

    def _read_conditions(self, name: str) -> Conditions:
        """Those of another clip, read once; empty if they cannot be read."""
        if name not in self._conditions:
            try:
                self._conditions[name] = read_clip(self.pairs[name], self.request.given_frames).conditions
            except VideoError:
                self._conditions[name] = Conditions()
        return self._conditions[name]

    def _film(self, name: str, clip: Clip) -> Frames | None:
        """The first film that was generated for a clip, or None if it does not fit."""
        size = (clip.footage.frames.shape[1], clip.footage.frames.shape[2])
        try:
            return read_generated(self.pairs[name].generated[0], size, clip.rate)
        except VideoError:
            return None


def _cut(clip: Clip, count: int) -> Clip:
    masks = None if clip.masks is None else clip.masks[:count]
    return Clip(
        clip.name,
        Footage(clip.footage.frames[:count]),
        clip.rate,
        clip.conditions.head(count),
        masks,
        clip.given_frames,
    )
