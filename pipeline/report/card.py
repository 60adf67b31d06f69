"""A dataset card: README.md beside packed shards, which says what they hold, and where that comes from.

It is made of tables alone, so that equal shards get equal cards, whichever run wrote them. The head is YAML
as Hugging Face reads it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.table import part_name, parts_of, read_part
from pipeline.history.funnel import FunnelLine, lines_of
from pipeline.history.run_history import Past, PastStep
from pipeline.history.wording import printable
from pipeline.report.looking import Looker

NAME = "README.md"
_COLUMNS = {"bucket", "shard", "shard_index", "shard_key"}
_UNKNOWN = "unknown"
Rows = list[tuple[str, ...]]


def write_cards(past: Past) -> list[str]:
    """Write the card of each whole table that names shards, and say where they are."""
    written = []
    for step in past:
        if past.manifests[step.name] and {c["name"] for c in step.columns} >= _COLUMNS:
            name = f"{step.folder}/{NAME}"
            past.store.replace(name, card(past, step).encode("utf-8", "replace"))
            written.append(f"{past.store.url}/{name}")
    return written


@dataclass
class _Bucket:
    """What is counted of one bucket of one split."""

    clips: int = 0
    seconds: float = 0.0
    shards: dict[str, int] = field(default_factory=dict)  # bytes of each

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
    """What is counted of a table of shards, part by part."""

    buckets: dict[tuple[str, str], _Bucket] = field(default_factory=dict)  # by split and bucket
    licences: Counter[str] = field(default_factory=Counter)
    videos: int = 0
    apart: bool = False  # the members of a sample lie in several tars


def card(past: Past, step: PastStep) -> str:
    """The text for one table of shards."""
    counts = _counted(past, step)
    every = _Bucket()
    for bucket in counts.buckets.values():
        every.clips, every.seconds = every.clips + bucket.clips, every.seconds + bucket.seconds
        every.shards |= bucket.shards
    clips, hours, shards, megabytes = every.cells()
    said = [
        *_head(counts),
        f"# {printable(past.dag)}",
        "",
        f"{clips} clips of {hours} h from {counts.videos:,} videos, in {shards} shards of {megabytes} MB.",
        "",
        "Each sample is KEY.mp4, KEY.json (where it comes from, and all that was measured) and KEY.txt (its "
        "caption); the key is the clip's id. Beside each tar stands its index, a Parquet file: key, member, "
        "offset, size. `clipmill manifest check` proves the shards.",
        "",
        *_table(
            ("split", "bucket", "clips", "hours", "shards", "MB"),
            [(*place, *bucket.cells()) for place, bucket in sorted(counts.buckets.items())],
        ),
        *_licences(counts.licences),
        "## What was kept",
        "",
        *_table(("step", "in", "dropped", "set aside", "out", "rule"), _funnel(past, step)),
        "## Provenance",
        "",
        *_table(("step", "made by", "version", "settings"), _provenance(past, step)),
    ]
    return "\n".join(said).rstrip() + "\n"


def _head(counts: _Counts) -> list[str]:
    """The YAML; what lies in several tars no loader of one tar puts together, so then no files are named."""
    known = [name for name in counts.licences if name != _UNKNOWN]
    head = []
    if len(counts.licences) == 1 and known:
        head.append(f"license: {json.dumps(known[0])}")
    if not counts.apart:
        head += ["configs:", "- config_name: default", "  data_files:"]
        for split in sorted({split for split, _ in counts.buckets}):
            folder = "shards" if split == "train" else f"shards-{split}"
            head += [f"  - split: {json.dumps(split)}", f'    path: "{folder}/**/*.tar"']
    return ["---", *head, "---", ""] if head else []


def _licences(licences: Mapping[str, int]) -> list[str]:
    said = ["## Licences", ""]
    if set(licences) <= {_UNKNOWN}:
        return [*said, "None is recorded: no step added a column `licence`.", ""]
    return [*said, *_table(("licence", "clips"), [(n, f"{c:,}") for n, c in sorted(licences.items())])]


def _funnel(past: Past, step: PastStep) -> Rows:
    before = _before(past, step)
    return [
        (line.step, *(f"{n:,}" for n in (line.rows_in, line.dropped, line.rejected, line.left)), _rule(line))
        for line in lines_of(past)
        if line.step in before
    ]


def _rule(line: FunnelLine) -> str:
    return line.says if line.kind == "drops" else ""


def _provenance(past: Past, step: PastStep) -> Rows:
    before = _before(past, step)
    rows: Rows = []
    for each in past:
        if each.name in before and not each.rule:
            made = each.made_by
            settings = json.dumps(made.get("settings", {}), sort_keys=True, ensure_ascii=False)
            weights = f" weights or listing {made['digest'][:16]}" if made.get("digest") else ""
            rows.append((each.name, f"{made.get('stage')}{weights}", str(made.get("version")), settings))
    return rows


def _before(past: Past, step: PastStep) -> set[str]:
    """The names of the steps that led to this one, itself among them."""
    found, waiting = set[str](), [step.name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [*past[name].inputs, *past[name].reads.values()]
    return found


def _counted(past: Past, step: PastStep) -> _Counts:
    look, counts = Looker(past), _Counts()
    for number in parts_of(past.store, step.folder):
        part = read_part(past.store, f"{step.folder}/{part_name(number)}")
        ids = part.column("id").combine_chunks()
        names = ("split", "clip_duration_s", "licence")
        told = [_column(look, name, step.base, number, ids) for name in names]
        for bucket, shard, split, seconds, licence in zip(
            part["bucket"].to_pylist(), part["shard"].to_pylist(), *told, strict=True
        ):
            found = counts.buckets.setdefault((split or "train", bucket), _Bucket())
            found.clips, found.seconds = found.clips + 1, found.seconds + (seconds or 0.0)
            found.shards[shard["path"]] = shard["size_bytes"]
            counts.licences[licence or _UNKNOWN] += 1
        if "facts_shard" in part.column_names:
            counts.apart = counts.apart or part["facts_shard"].null_count < part.num_rows
        counts.videos += _videos(past, step.base, number, ids)
    return counts


def _videos(past: Past, base: str, number: int, ids: pa.Array) -> int:
    """How many rows of the source these come from; all clips of a video are in one part."""
    while past[base].parents:
        ids = _taken(past, f"{past[base].folder}/{part_name(number)}", "parent", ids)
        base = past[base].parents
    return int(pc.count_distinct(ids).as_py())


def _column(look: Looker, name: str, base: str, number: int, ids: pa.Array) -> list[Any]:
    """A column of rows of one part, or of what they were made from; None where no step adds it."""
    author = look.author(name, base)
    if author is None:
        return [None] * len(ids)
    while base != author.base:
        ids = _taken(look.past, f"{look.past[base].folder}/{part_name(number)}", "parent", ids)
        base = look.past[base].parents
    values: list[Any] = _taken(look.past, f"{author.folder}/{part_name(number)}", name, ids).to_pylist()
    return values


def _taken(past: Past, name: str, column: str, ids: pa.Array) -> pa.Array:
    part = read_part(past.store, name, list(dict.fromkeys(("id", column))))
    at = pc.index_in(ids, value_set=part.column("id").combine_chunks())
    return part.column(column).combine_chunks().take(at)


def _table(head: tuple[str, ...], rows: Rows) -> list[str]:
    """A table of Markdown, and an empty line; nothing in a cell is read as markup of the table."""
    lines = [head, ("---",) * len(head), *rows]
    return [*("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines), ""]


def _cell(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
