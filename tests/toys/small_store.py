"""A small valid store, written without the engine: videos, a layer, a rule, clips and a survey."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests import Artifact, Row, column
from manifests.format import STORE_FILE, format_text
from manifests.identity import child_id, id_of
from manifests.manifest import Manifest, columns_of, describe_part
from manifests.rows import DropRow, RejectRow
from manifests.schema import schema_of, table_of
from manifests.store import Store
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, write_part, write_rejects

Parts = Sequence[tuple[Sequence[Mapping[str, Any]], RowCounts, Sequence[Mapping[str, Any]]]]


class Video(Row):
    id: str = column("digest of the content")
    source: str = column("path of the file")


class Motion(Row):
    id: str = column("the video")
    motion_mean: float | None = column("mean motion", unit="px")
    strip: Artifact = column("stills")


class Clip(Row):
    id: str = column("digest of the video's id and the start")
    parent: str = column("the video")
    start_s: float = column("start", unit="s", key=True)


class Duplicate(Row):
    id: str = column("the clip")
    duplicate_of: str | None = column("id of a clip with the same content")


@dataclass(frozen=True)
class SmallStore:
    """The store and the folders of its tables."""

    store: FolderStore
    videos: str
    motion: str
    drops: str
    clips: str
    duplicates: str


def stage(node: str) -> dict[str, Any]:
    return {"stage": f"toys:{node}", "version": 1, "settings": {}, "digest": ""}


def folder_of(node: str, inputs: tuple[str, ...], made_by: Mapping[str, Any]) -> str:
    return f"{node}-{id_of(node, made_by, inputs)[:10]}-{id_of(node, made_by)[:10]}"


def write_table(
    store: Store, node: str, kind: str, schema: pa.Schema, parts: Parts, *,
    base: str = "", inputs: tuple[str, ...] = (), made_by: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """Write a table; each part is given as rows, row counts and rejects."""
    made = made_by or stage(node)
    run, content, folder = id_of(node, made, inputs), id_of(node, made), folder_of(node, inputs, made)
    header = Manifest(
        node=node, kind=kind, base=base, root=inputs[0] if inputs else "", inputs=inputs,
        keys={"run": run, "content": content}, made_by=made, columns=columns_of(schema),
    )  # fmt: skip
    header.write_header(store, folder)
    for number, (rows, row_counts, rejects) in enumerate(parts):
        rejects_file = write_rejects(store, folder, number, table_of(list(rejects), schema_of(RejectRow)))
        all_counts = RowCounts(**{**row_counts.__dict__, "rejects": rejects_file, "rows_out": len(rows)})
        write_part(store, f"{folder}/{part_name(number)}", table_of(list(rows), schema), all_counts)
    described = tuple(describe_part(store, folder, number) for number in range(len(parts)))
    Manifest(**{**header.__dict__, "parts": described}).write(store, folder)
    return folder


def make_store(root: Path, min_motion: float = 0.4) -> SmallStore:
    """Six videos in two parts: one rejected, some below `min_motion`, the others with two clips each."""
    store = FolderStore(root)
    store.create(STORE_FILE, format_text())
    parts = [["a.mp4", "b.mp4", "c.mp4"], ["d.mp4", "e.mp4", "bad.mp4"]]
    motions = {"a.mp4": 0.5, "b.mp4": 0.1, "c.mp4": 2.0, "d.mp4": 0.45, "e.mp4": None}
    rows = [[{"id": id_of(name), "source": name} for name in part] for part in parts]
    videos = write_table(
        store, "list_videos", "source", schema_of(Video), [(part, RowCounts(), ()) for part in rows]
    )
    layer, drops, clips, duplicates = [], [], [], []
    schema, home = schema_of(Motion), folder_of("measure_motion", (videos,), stage("measure_motion"))
    for part in rows:
        good = [row for row in part if row["source"] in motions]
        bad = [_reject(row, "cannot be decoded") for row in part if row["source"] not in motions]
        measured = []
        for row in good:
            strip = Artifact.of(row["source"].encode() * 9, ".jpg").save(store, home)
            measured.append({"id": row["id"], "motion_mean": motions[row["source"]], "strip": strip})
        row_counts = RowCounts(rows_in=len(part), passed=len(good), rejected=len(bad))
        layer.append((measured, row_counts, bad))
        low = [m for m in measured if m["motion_mean"] is not None and m["motion_mean"] < min_motion]
        none = [_reject(m, "motion_mean missing") for m in measured if m["motion_mean"] is None]
        kept = [m for m in measured if m["motion_mean"] is not None and m["motion_mean"] >= min_motion]
        dropped = [_drop(m, min_motion) for m in low]
        counts = {"rows_in": len(measured), "passed": len(kept), "dropped": len(low), "rejected": len(none)}
        drops.append((dropped, RowCounts(**counts), none))
        children = [
            {"id": child_id(m["id"], start), "parent": m["id"], "start_s": start}
            for m in kept
            for start in (0.0, 2.5)
        ]
        clips.append((children, RowCounts(rows_in=len(kept), passed=len(kept)), ()))
        survey_rows = [{"id": clip["id"], "duplicate_of": None} for clip in children]
        duplicates.append((survey_rows, RowCounts(rows_in=len(survey_rows), passed=len(survey_rows)), ()))
    motion = write_table(store, "measure_motion", "layer", schema, layer, base=videos, inputs=(videos,))
    rule = {"keep": f"motion_mean >= {min_motion}", "because": "no motion"}
    rule_table = write_table(
        store, "no_motion", "drops", schema_of(DropRow), drops, base=videos, inputs=(motion,), made_by=rule
    )
    shots = write_table(store, "find_shots", "children", schema_of(Clip), clips, inputs=(rule_table,))
    pairs = write_table(
        store, "find_duplicates", "survey", schema_of(Duplicate), duplicates, base=shots, inputs=(shots,)
    )
    store.create(f"{pairs}/fitted.bin", b"")
    store.create("runs/2026-01-01/request.json", b"{}")
    return SmallStore(store, videos, motion, rule_table, shots, pairs)


def _reject(row: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {"id": row["id"], "kind": "reject", "reason": reason, "detail": ""}


def _drop(row: Mapping[str, Any], min_motion: float) -> dict[str, Any]:
    value = f"motion_mean={row['motion_mean']}"
    return {"id": row["id"], "rule": "no motion", "where": f"motion_mean >= {min_motion}", "value": value}
