"""The dataset card: a README.md beside packed shards that describes their content and its origin.

The card is made from tables only, so equal shards have equal cards, whichever run wrote them. It starts with
YAML metadata as Hugging Face reads it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.table import part_name, parts_of, read_part
from pipeline.history.formatting import printable
from pipeline.history.funnel import FunnelLine, funnel_lines
from pipeline.history.run_history import RunHistory, StepHistory
from pipeline.report.run_reader import RunReader

NAME = "README.md"
_COLUMNS = {"bucket", "shard", "shard_index", "shard_key"}
_UNKNOWN = "unknown"
Rows = list[tuple[str, ...]]


def write_cards(history: RunHistory) -> list[str]:
    """Write the card of each complete table that names shards. Returns the paths or URLs of the cards."""
    written = []
    for step in history:
        if history.manifests[step.name] and {c["name"] for c in step.columns} >= _COLUMNS:
            name = f"{step.folder}/{NAME}"
            history.store.replace(name, card(history, step).encode("utf-8", "replace"))
            written.append(f"{history.store.url}/{name}")
    return written


@dataclass
class _Bucket:
    """The counts of one bucket of one split."""

    clips: int = 0
    seconds: float = 0.0
    shards: dict[str, int] = field(default_factory=dict)  # size of each in bytes, by path

    def cells(self) -> tuple[str, ...]:
        megabytes = sum(self.shards.values()) / 1e6
        return (
            f"{self.clips:,}",
            f"{self.seconds / 3600:,.2f}",
            f"{len(self.shards):,}",
            f"{megabytes:,.1f}",
        )


@dataclass
class _Counts:
    """The counts of a table of shards."""

    buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)  # by split and bucket
    licenses: Counter[str] = field(default_factory=Counter)
    videos: int = 0
    is_split: bool = False  # whether the members of a sample are in several tars


def card(history: RunHistory, step: StepHistory) -> str:
    """The card of one table of shards as Markdown."""
    counts = _count(history, step)
    every = _Bucket()
    for bucket in counts.buckets.values():
        every.clips, every.seconds = every.clips + bucket.clips, every.seconds + bucket.seconds
        every.shards |= bucket.shards
    clips, hours, shards, megabytes = every.cells()
    lines = [
        *_yaml_metadata(counts),
        f"# {printable(history.dag)}",
        "",
        f"{clips} clips of {hours} h from {counts.videos:,} videos, in {shards} shards of {megabytes} MB.",
        "",
        "Each sample has the members KEY.mp4, KEY.json (origin and measured values) and KEY.txt (caption). "
        "KEY is the id of the clip. Each tar has an index beside it, a Parquet file with the columns key, "
        "member, offset and size. `clipmill manifest check` validates the shards.",
        "",
        *_table(
            ("split", "bucket", "clips", "hours", "shards", "MB"),
            [(*place, *bucket.cells()) for place, bucket in sorted(counts.buckets.items())],
        ),
        *_licenses(counts.licenses),
        "## Kept rows",
        "",
        *_table(("step", "in", "dropped", "rejected", "errors", "out", "rule"), _funnel(history, step)),
        "## Provenance",
        "",
        *_table(("step", "made by", "version", "settings"), _provenance(history, step)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _yaml_metadata(counts: _Counts) -> list[str]:
    """The YAML metadata. No files are named if samples are in several tars, because a loader reads one."""
    known = [name for name in counts.licenses if name != _UNKNOWN]
    metadata = []
    if len(counts.licenses) == 1 and known:
        metadata.append(f"license: {json.dumps(known[0])}")
    if not counts.is_split:
        metadata += ["configs:", "- config_name: default", "  data_files:"]
        for split in sorted({split for split, _ in counts.buckets}):
            folder = "shards" if split == "train" else f"shards-{split}"
            metadata += [f"  - split: {json.dumps(split)}", f'    path: "{folder}/**/*.tar"']
    return ["---", *metadata, "---", ""] if metadata else []


def _licenses(licenses: Mapping[str, int]) -> list[str]:
    lines = ["## Licenses", ""]
    if set(licenses) <= {_UNKNOWN}:
        return [*lines, "No license is recorded: no step added a column `license`.", ""]
    return [*lines, *_table(("license", "clips"), [(n, f"{c:,}") for n, c in sorted(licenses.items())])]


def _funnel(history: RunHistory, step: StepHistory) -> Rows:
    ancestors = _ancestors(history, step)
    return [
        (
            line.step,
            *(f"{n:,}" for n in (line.rows_in, line.dropped, line.rejected, line.errors, line.rows_to_next)),
            _rule(line),
        )
        for line in funnel_lines(history)
        if line.step in ancestors
    ]


def _rule(line: FunnelLine) -> str:
    return line.description if line.kind == "drops" else ""


def _provenance(history: RunHistory, step: StepHistory) -> Rows:
    ancestors = _ancestors(history, step)
    rows: Rows = []
    for each in history:
        if each.name in ancestors and not each.rule:
            origin = each.made_by
            settings = json.dumps(origin.get("settings", {}), sort_keys=True, ensure_ascii=False)
            weights = f" weights or listing {origin['digest'][:16]}" if origin.get("digest") else ""
            rows.append((each.name, f"{origin.get('stage')}{weights}", str(origin.get("version")), settings))
    return rows


def _ancestors(history: RunHistory, step: StepHistory) -> set[str]:
    """The names of all steps on which a step depends, and its own name."""
    ancestors, pending = set[str](), [step.name]
    while pending:
        name = pending.pop()
        if name not in ancestors:
            ancestors.add(name)
            pending += [*history[name].inputs, *history[name].reads.values()]
    return ancestors


def _count(history: RunHistory, step: StepHistory) -> _Counts:
    reader, counts = RunReader(history), _Counts()
    for number in parts_of(history.store, step.folder):
        part = read_part(history.store, f"{step.folder}/{part_name(number)}")
        ids = part.column("id").combine_chunks()
        names = ("split", "clip_duration_s", "license")
        columns = [_column(reader, name, step.base, number, ids) for name in names]
        for bucket, shard, split, seconds, license in zip(
            part["bucket"].to_pylist(), part["shard"].to_pylist(), *columns, strict=True
        ):
            total = counts.buckets.setdefault((split or "train", bucket), _Bucket())
            total.clips, total.seconds = total.clips + 1, total.seconds + (seconds or 0.0)
            total.shards[shard["path"]] = shard["size_bytes"]
            counts.licenses[license or _UNKNOWN] += 1
        if "metadata_shard" in part.column_names:
            counts.is_split = counts.is_split or part["metadata_shard"].null_count < part.num_rows
        counts.videos += _videos(history, step.base, number, ids)
    return counts


def _videos(history: RunHistory, base: str, number: int, ids: pa.Array) -> int:
    """The number of rows of the source from which clips were made. All clips of a video are in one part."""
    while history[base].parents:
        ids = _lookup(history, f"{history[base].folder}/{part_name(number)}", "parent", ids)
        base = history[base].parents
    return int(pc.count_distinct(ids).as_py())


def _column(reader: RunReader, name: str, base: str, number: int, ids: pa.Array) -> list[Any]:
    """A column of rows of one part, or of the rows from which they were made; None if no step adds it."""
    author = reader.author(name, base)
    if author is None:
        return [None] * len(ids)
    while base != author.base:
        ids = _lookup(reader.history, f"{reader.history[base].folder}/{part_name(number)}", "parent", ids)
        base = reader.history[base].parents
    values: list[Any] = _lookup(reader.history, f"{author.folder}/{part_name(number)}", name, ids).to_pylist()
    return values


def _lookup(history: RunHistory, name: str, column: str, ids: pa.Array) -> pa.Array:
    part = read_part(history.store, name, list(dict.fromkeys(("id", column))))
    at = pc.index_in(ids, value_set=part.column("id").combine_chunks())
    return part.column(column).combine_chunks().take(at)


def _table(head: tuple[str, ...], rows: Rows) -> list[str]:
    """A Markdown table and an empty line. Markup in cells is escaped."""
    lines = [head, ("---",) * len(head), *rows]
    return [*("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines), ""]


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
