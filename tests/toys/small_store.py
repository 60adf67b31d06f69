"""A small sound store, written by hand as the format says: videos, a layer, a rule, clips and a survey."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests import Artifact, Row, column
from manifests.identity import child_id, id_of
from manifests.manifest import Manifest, columns_of, describe_part
from manifests.rows import DropRow, RejectRow
from manifests.schema import schema_of, table_of
from manifests.store import Store
from manifests.stores.folder import FolderStore
from manifests.table import RowCounts, part_name, write_part, write_rejects

Parts = Sequence[tuple[Sequence[Mapping[str, Any]], RowCounts, Sequence[Mapping[str, Any]]]]


class Video(Row):
    id: str = column("made from the content")
    source: str = column("path of the file")


class Motion(Row):
    id: str = column("the video")
    motion_mean: float | None = column("mean motion", unit="px")
    strip: Artifact = column("stills")


class Clip(Row):
    id: str = column("made from the video and the start")
    parent: str = column("the video")
    start_s: float = column("start", unit="s", key=True)


class Twin(Row):
    id: str = column("the clip")
    twin: str | None = column("a clip that looks the same")


@dataclass(frozen=True)
class Made:
    """The store and the folders of its tables."""

    store: FolderStore
    videos: str
    motion: str
    still: str
    clips: str
    twins: str


def stage(node: str) -> dict[str, Any]:
    return {"stage": f"toys:{node}", "version": 1, "settings": {}, "digest": ""}


def folder_of(node: str, inputs: tuple[str, ...], made_by: Mapping[str, Any]) -> str:
    return f"{node}-{id_of(node, made_by, inputs)[:10]}-{id_of(node, made_by)[:10]}"


def write_table(
    store: Store, node: str, kind: str, schema: pa.Schema, parts: Parts, *,
    base: str = "", inputs: tuple[str, ...] = (), made_by: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """Write a table of these parts: rows, books and rejects of each."""
    made = made_by or stage(node)
    run, content, folder = id_of(node, made, inputs), id_of(node, made), folder_of(node, inputs, made)
    begun = Manifest(
        node=node, kind=kind, base=base, root=inputs[0] if inputs else "", inputs=inputs,
        keys={"run": run, "content": content}, made_by=made, columns=columns_of(schema),
    )  # fmt: skip
    begun.begin(store, folder)
    for number, (rows, books, rejects) in enumerate(parts):
        aside = write_rejects(store, folder, number, table_of(list(rejects), schema_of(RejectRow)))
        said = RowCounts(**{**books.__dict__, "rejects": aside, "rows_out": len(rows)})
        write_part(store, f"{folder}/{part_name(number)}", table_of(list(rows), schema), said)
    described = tuple(describe_part(store, folder, number) for number in range(len(parts)))
    Manifest(**{**begun.__dict__, "parts": described}).write(store, folder)
    return folder


def make_store(root: Path, least: float = 0.4) -> Made:
    """Six videos in two parts; one cannot be read, those below `least` are dropped; two clips of each."""
    store = FolderStore(root)
    store.create("store.json", b'{"format": 1}')
    parts = [["a.mp4", "b.mp4", "c.mp4"], ["d.mp4", "e.mp4", "bad.mp4"]]
    motions = {"a.mp4": 0.5, "b.mp4": 0.1, "c.mp4": 2.0, "d.mp4": 0.45, "e.mp4": None}
    rows = [[{"id": id_of(name), "source": name} for name in part] for part in parts]
    videos = write_table(
        store, "list_videos", "source", schema_of(Video), [(part, RowCounts(), ()) for part in rows]
    )
    layer, drops, clips, twins = [], [], [], []
    schema, home = schema_of(Motion), folder_of("measure_motion", (videos,), stage("measure_motion"))
    for part in rows:
        good = [row for row in part if row["source"] in motions]
        bad = [_reject(row, "cannot be decoded") for row in part if row["source"] not in motions]
        measured = []
        for row in good:
            strip = Artifact.of(row["source"].encode() * 9, ".jpg").stored(store, home)
            measured.append({"id": row["id"], "motion_mean": motions[row["source"]], "strip": strip})
        books = RowCounts(rows_in=len(part), passed=len(good), rejected=len(bad))
        layer.append((measured, books, bad))
        low = [m for m in measured if m["motion_mean"] is not None and m["motion_mean"] < least]
        none = [_reject(m, "motion_mean missing") for m in measured if m["motion_mean"] is None]
        kept = [m for m in measured if m["motion_mean"] is not None and m["motion_mean"] >= least]
        said = [_drop(m, least) for m in low]
        counts = {"rows_in": len(measured), "passed": len(kept), "dropped": len(low), "rejected": len(none)}
        drops.append((said, RowCounts(**counts), none))
        children = [
            {"id": child_id(m["id"], start), "parent": m["id"], "start_s": start}
            for m in kept
            for start in (0.0, 2.5)
        ]
        clips.append((children, RowCounts(rows_in=len(kept), passed=len(kept)), ()))
        found = [{"id": clip["id"], "twin": None} for clip in children]
        twins.append((found, RowCounts(rows_in=len(found), passed=len(found)), ()))
    motion = write_table(store, "measure_motion", "layer", schema, layer, base=videos, inputs=(videos,))
    rule = {"keep": f"motion_mean >= {least}", "because": "hardly moves"}
    still = write_table(
        store, "hardly_moves", "drops", schema_of(DropRow), drops, base=videos, inputs=(motion,), made_by=rule
    )
    shots = write_table(store, "find_shots", "children", schema_of(Clip), clips, inputs=(still,))
    pairs = write_table(
        store, "find_duplicates", "survey", schema_of(Twin), twins, base=shots, inputs=(shots,)
    )
    store.create(f"{pairs}/fitted.bin", b"")
    store.create("runs/2026-01-01/asked.json", b"{}")
    return Made(store, videos, motion, still, shots, pairs)


def _reject(row: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {"id": row["id"], "kind": "reject", "reason": reason, "detail": ""}


def _drop(row: Mapping[str, Any], least: float) -> dict[str, Any]:
    value = f"motion_mean={row['motion_mean']}"
    return {"id": row["id"], "rule": "hardly moves", "where": f"motion_mean >= {least}", "value": value}
