"""Readers of untrusted bytes, with valid inputs that the fuzz tests damage.

A reader may return a result, or raise an error of the library. Everything else is a fault.
"""

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from small_store import make_store

from manifests import ClipmillError
from manifests.catalog import tables_of
from manifests.format import open_checked_store
from manifests.predicate import evaluate
from manifests.verbs.validation import check
from pipeline import Reject
from pipeline.engine.journal import Journal, finished_rows
from pipeline.history.status import status_of
from pipeline.recipes.yaml_text import from_yaml
from stages.captions.questions.answers import BadAnswer, parse_answers
from stages.captions.questions.question import Question
from stages.ingest.list_columns import extend_row, infer_columns, parse_columns, values_of
from stages.ingest.list_videos import ListVideos, Video
from stages.latents.media_member import local_bytes, read_image
from stages.latents.read_samples import ListedShard, ReadSamples
from stages.media.list_file import absolute_location, parse_list
from stages.media.uri import has_secret, hide_secrets
from stages.models.chat.completion import BadBody, NoResponse, parse_completion


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        read: Reads the bytes; it may write into the empty folder.
        seeds: Valid inputs.
        errors: The errors of the library that it may raise.
    """

    read: Callable[[bytes, Path], object]
    seeds: Sequence[bytes]
    errors: tuple[type[Exception], ...] = (ClipmillError, Reject)

    def run(self, data: bytes, folder: Path) -> None:
        """Read the bytes. An error that is not of the library is a fault, and raised."""
        try:
            self.read(data, folder)
        except self.errors as error:
            str(error).encode()  # a message can be printed


RECIPE = b"""dag: short
knobs:
  footage: films
  min_motion: 0.4
steps:
  list_videos:
    stage: ListVideos
    with: {root: "${footage}", limit: 3}
    rows_per_part: 16
  probe_video: {from: list_videos, stage: ProbeVideo, needs: {cpus: 2}}
  large:
    from: probe_video
    keep: video_width_px > 100 and fps * 2 > ${min_motion}
    because: too small
save:
  clips: large
"""
PREDICATES = (
    b"motion > 0.4 and not has_text", b"2 <= motion < 60", b"codec in ('h264', 'av1') or count is None",
    b"-(motion + 1) * 2 / count - 3 != 0.5", b"not (codec not in ('a',)) and count == 9223372036854775807",
)  # fmt: skip
LISTS = {
    "a.txt": b"# films\na.mp4\nhttps://host/b.mp4?X-Amz-Signature=a\ns3://bucket/c.mp4\nfile:///d%ff.mp4\n",
    "a.csv": b'uri,license,take\na.mp4,cc0,7\n"b, c.mp4",by,\nhttp://u:p@h/d.mp4?sig=1,"x\ny",3\n',
    "a.jsonl": b'{"uri": "a.mp4", "n": 1, "tags": ["x", {"y": null}]}\n'
    b'{"uri": "b.mp4", "n": 2.5, "t": "\\ud800"}\n',
}
_ROWS = {
    "motion": [0.5, None, float("nan")], "count": [1, 2, None], "has_text": [True, False, None],
    "codec": ["h264", "av1", None], "tags": [["a"], [], None],
}  # fmt: skip
_TABLE = pa.table(_ROWS)


def _predicate(data: bytes, _: Path) -> None:
    evaluate(data.decode("utf-8", "surrogateescape"), _TABLE)


def _yaml(data: bytes, _: Path) -> None:
    from_yaml(data.decode("utf-8", "replace"), "fuzz.yaml")


def _list(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, _: Path) -> None:
        entries = parse_list(name, data)
        for entry in entries:
            has_secret(hide_secrets(entry.location))
            for list_uri in ("/lists/a.txt", "https://host/a.txt"):
                try:
                    absolute_location(entry.location, list_uri)
                except ValueError:
                    continue
        columns = parse_columns(
            [str(column) for column in infer_columns([e.values for e in entries], ("id",))]
        )
        row = extend_row(Video, columns)
        for entry in entries:
            values_of(entry.values, columns)
        assert row.names()

    return read


def _tar(data: bytes, folder: Path) -> None:
    path = folder / "a.tar"
    path.write_bytes(data)
    for row in ListVideos(root=str(path), extensions=("mp4", "bin"), list_columns=("caption:str",)).rows():
        assert ".." not in row.source.split("/")
    for sample in ReadSamples().expand(ListedShard(uri=str(path), source="a.tar")):
        assert sample.media_offset + sample.media_bytes <= len(data)


def _stored(name: str) -> Callable[[bytes, Path], None]:
    """Return what replaces a file of a small store, and reads the store as several commands do."""

    def read(data: bytes, folder: Path) -> None:
        root = folder / "store"
        shutil.copytree(_small_store(), root)
        (root / _file_of(name)).write_bytes(data)
        store = open_checked_store(str(root))
        check(store, tables_of(store), deep=True)
        status_of(store).text()

    return read


def _journal(data: bytes, folder: Path) -> None:
    (folder / "journal").mkdir()
    (folder / "journal" / "0.jsonl").write_bytes(data)
    finished_rows(folder / "journal")
    Journal(folder / "journal", "r").close(delete=True)


def _answers(data: bytes, _: Path) -> None:
    questions = (Question("a", "Is it?"), Question("b", "Which?", ("one", "two")))
    parse_answers(data.decode("utf-8", "replace"), questions)


def _image(data: bytes, _: Path) -> None:
    for name in ("a.png", "a.jpg"):
        try:
            with local_bytes(data, name) as path:
                read_image(path)
        except Reject as reject:
            str(reject)


@cache
def _small_store() -> Path:
    import tempfile

    root = Path(tempfile.mkdtemp(prefix="fuzz-")) / "store"
    small = make_store(root)
    steps = [
        {**_step(small.videos), "kind": "source"},
        {**_step(small.motion), "kind": "layer", "base": small.videos, "inputs": [small.videos]},
    ]
    plan = {"dag": "d", "steps": steps, "outputs": {"clips": [small.motion]}}
    (root / "runs/2026-01-01/plan.json").write_text(json.dumps(plan))
    lease = {"run": "2026-01-01", "host": "h", "pid": 1, "beat": 1, "started": 1.5}
    (root / "lease.json").write_text(json.dumps(lease))
    return root


def _step(folder: str) -> dict[str, Any]:
    return {
        "name": folder, "kind": "", "folder": folder, "base": folder, "root": folder, "parents": "",
        "depth": 1, "inputs": [], "keys": {"run": "r", "content": "c"}, "made_by": {}, "columns": [],
    }  # fmt: skip


def _file_of(pattern: str) -> Path:
    return next(iter(sorted(_small_store().glob(pattern)))).relative_to(_small_store())


def _stored_target(pattern: str) -> Target:
    return Target(_stored(pattern), [(_small_store() / _file_of(pattern)).read_bytes()])


def _parquet_list() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"uri": ["a.mp4", None], **{n: v[:2] for n, v in _ROWS.items()}}), sink)
    return sink.getvalue()


def _tar_bytes(form: int) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as tar:
        members = {
            "a/1.mp4": b"film",
            "a/1.json": b'{"n": 1, "caption": "c"}',
            "a/1.txt": b"text",
            "b" * 90 + "/" + "c" * 90: b"x",
        }
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 0
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def _image_bytes(form: str) -> bytes:
    from PIL import Image

    sink = io.BytesIO()
    Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(sink, form)
    return sink.getvalue()


_TAR_FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
_COMPLETION = (
    b'{"choices": [{"message": {"content": "a", "refusal": null}, "finish_reason": "stop"}], "usage": {}}'
)
_STREAM = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: [DONE]\n'
_JOURNAL = (
    b'{"run": "r"}\n{"started": ["a", "b"]}\n{"requeued": "b"}\n{"finished": ["b"]}\n'
    b'{"results": {"a": {"records": [], "kind": "", "reason": "", "detail": ""}}}\n'
)


@cache
def targets() -> dict[str, Target]:
    """Return all readers by name."""
    stored = {
        f"store {pattern}": _stored_target(pattern)
        for pattern in (
            "store.json", "lease.json", "measure_motion-*/table.json", "measure_motion-*/manifest.json",
            "measure_motion-*/part-000000.parquet", "*/rejects/*.parquet", "runs/*/plan.json",
        )
    }  # fmt: skip
    answers = (
        b'{"a": true, "b": "one"}',
        b"```json\n{'a': yes, 'b': two,}\n```",
        b"a: yes\nb: one\n",
    )
    return {
        "predicate": Target(_predicate, PREDICATES),
        "yaml recipe": Target(_yaml, [RECIPE]),
        **{f"list {name}": Target(_list(name), [seed]) for name, seed in LISTS.items()},
        "list a.parquet": Target(_list("a.parquet"), [_parquet_list()]),
        "tar": Target(_tar, [_tar_bytes(form) for form in _TAR_FORMATS]),
        **stored,
        "journal": Target(_journal, [_JOURNAL]),
        "chat completion": Target(
            lambda data, _: parse_completion(data, 1.0), [_COMPLETION, _STREAM], (BadBody, NoResponse)
        ),
        "answers": Target(_answers, answers, (BadAnswer,)),
        "image": Target(_image, [_image_bytes("PNG"), _image_bytes("JPEG")]),
    }  # fmt: skip
