"""The result of an evaluation: tables, films, and what could not be measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.evaluation.world.films import Pair
from training.evaluation.world.measure import MODEL, VELOCITY, Candidate, Clip
from training.evaluation.world.statistics import CONFIDENCE, RESAMPLES, Bootstrap
from training.evaluation.world.table import Table
from training.metrics.world.matches import Frames


@dataclass(frozen=True)
class FilmRecord:
    """What was compared of a clip.

    Attributes:
        reference: The reference film.
        generated: The generated films.
        frames: Number of frames that were compared.
        given_frames: Frames at the start that errors do not count.
        rate: Frames per second.
        size: Height and width in px.
        note: Which frames were left out, or "".
        further: Films of further rows.
        extrapolated: The film at constant velocity, for the page.
    """

    reference: Path
    generated: Sequence[Path]
    frames: int
    given_frames: int
    rate: float
    size: tuple[int, int]
    note: str
    further: Mapping[str, Path] = field(default_factory=dict)
    extrapolated: Frames | None = None


@dataclass
class WorldReport:
    """The tables of an evaluation.

    Attributes:
        videos: Folder of the generated films.
        reference: Folder of the reference.
        tables: One per measure.
        failed: Why films were not measured, by name.
        seed: Of the bootstrap.
        films: What was compared, by clip.
        fvd: FVD by row, or empty.
        max_kept: Films at constant velocity that are kept for the page; the first ones.
    """

    videos: Path
    reference: Path
    tables: list[Table]
    failed: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    films: dict[str, FilmRecord] = field(default_factory=dict)
    fvd: dict[str, Any] = field(default_factory=dict)
    max_kept: int = 12

    def add_clip(
        self,
        pair: Pair,
        clip: Clip,
        rows: Mapping[str, Sequence[Candidate]],
        lengths: Mapping[str, int],
        further: Mapping[str, Path],
    ) -> None:
        """Add what is compared of a pair.

        Args:
            pair: The films.
            clip: The reference, cut to the frames that are compared.
            rows: All films of the table.
            lengths: Frames of each generated film.
            further: Films of further rows.
        """
        frames = clip.footage.frames
        cut = {name: length for name, length in lengths.items() if length != len(frames)}
        note = ", ".join(f"{name} has {length} frames" for name, length in cut.items())
        keep = len(self.films) < self.max_kept
        self.films[pair.name] = FilmRecord(
            pair.reference,
            pair.generated,
            len(frames),
            clip.given_frames,
            clip.rate,
            (frames.shape[1], frames.shape[2]),
            f"{len(frames)} frames are compared: {note}" if note else "",
            further,
            rows[VELOCITY][0].footage.frames if keep else None,
        )

    def bootstrap(self, table: Table) -> Bootstrap:
        """The resampling of the clips of a table."""
        return Bootstrap(table.clips, self.seed)

    def lines(self) -> list[str]:
        """All tables as text, then what was not measured."""
        count = sum(len(record.generated) for record in self.films.values())
        lines = [
            f"{len(self.films)} clips, {count} generated films; mean [95 % interval, bootstrap over clips]"
        ]
        for table in self.tables:
            lines += ["", *table.lines(self.bootstrap(table))]
        if self.fvd:
            lines += ["", f"FVD: {self.fvd['extractor']}", *filter(None, [self.fvd["note"]])]
            for row, found in self.fvd["rows"].items():
                value = "–" if found["fvd"] is None else f"{found['fvd']:.2f}"
                lines.append(f"{row}  {value}  {found['films']} films")
        lines += [""] if self.failed or any(record.note for record in self.films.values()) else []
        lines += [f"{name}: {record.note}" for name, record in self.films.items() if record.note]
        return [*lines, *(f"not measured: {name}: {why}" for name, why in self.failed.items())]

    def to_json(self) -> dict[str, Any]:
        """All figures; NaN is null."""
        return {
            "videos": str(self.videos),
            "reference": str(self.reference),
            "clips": {
                name: {
                    "reference": record.reference.name,
                    "generated": [file.name for file in record.generated],
                    "frames": record.frames,
                    "given_frames": record.given_frames,
                    "fps": record.rate,
                    "size": list(record.size),
                    "note": record.note,
                }
                for name, record in self.films.items()
            },
            "tables": {table.name: table.to_json(self.bootstrap(table)) for table in self.tables},
            "fvd": self.fvd,
            "failed": self.failed,
            "bootstrap": {"resamples": RESAMPLES, "confidence": CONFIDENCE, "seed": self.seed},
            "model_row": MODEL,
        }
