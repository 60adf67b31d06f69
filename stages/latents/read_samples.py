"""Reads the samples of WebDataset shards: tars of videos or images with captions."""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from manifests import Row, column
from pipeline import Expand, Needs, Reject
from stages.latents.media_member import VIDEO_SUFFIXES, local_bytes, measure_length
from stages.media.files import open_uri
from stages.media.image_format import IMAGE_FORMATS
from stages.media.tar import BLOCK, Member

MEDIA_SUFFIXES = (*VIDEO_SUFFIXES, *IMAGE_FORMATS)
CAPTION_KEYS = ("enhanced_caption", "caption", "text")  # of the json of a sample, where it has no .txt
MAX_TEXT_BYTES = 2**24


class ListedShard(Row):
    uri: str
    source: str
    list_error: str = ""


class ShardSample(Row):
    shard_key: str = column("key of the sample in the shard", key=True)
    media_sha256: str = column("SHA-256 of its video or image", key=True)
    shard_uri: str = column("path or URL of the shard")
    media_name: str = column("name of the member that is the video or the image")
    media_offset: int = column("first byte of that member in the shard", unit="bytes")
    media_bytes: int = column("size of that member", unit="bytes")
    clip_frames: int = column("number of frames; 1 for an image")
    clip_duration_s: float = column("duration; 1 for an image", unit="s")
    caption: str = column("the txt member, or else the caption in the json member")
    start_s: float = column("start of the clip in its source, by the json member; else 0", unit="s")
    end_s: float = column("end of the clip in its source", unit="s")
    split: str = column("split by the json member, or by a folder such as shards-validation; else train")
    sample_error: str = column("why the sample cannot be read; empty if it can")


class ReadSamples(Expand[ListedShard, ShardSample]):
    """Lists the samples of a shard with the length of their media, and copies nothing.

    A sample that cannot be read is a row with a `sample_error`, for a rule of the recipe, and the others are
    read. So is the rest of a tar that is cut off or damaged. A file that is no tar at all is rejected.
    """

    needs = Needs(cpus=1, memory_gb=1)

    def expand(self, row: ListedShard) -> Iterator[ShardSample]:
        if row.list_error:
            raise Reject(row.list_error)
        samples: dict[str, dict[str, Member]] = {}
        damage = ""
        with open_uri(row.uri) as file:
            try:
                with tarfile.open(fileobj=file, mode="r:") as opened:
                    for info in opened:
                        if info.isfile():
                            member = Member(info.name, info.offset_data, info.size)
                            samples.setdefault(member.key, {})[_suffix(member)] = member
                    file.seek(opened.offset)
                    if file.read(BLOCK) != bytes(BLOCK):  # tarfile ends at a damaged header without an error
                        raise tarfile.ReadError("no end of the archive where the last member ends")
            except tarfile.TarError as error:
                damage = f"the tar is damaged or cut off after {len(samples)} samples: {error}"
            if damage and not samples:
                raise Reject(damage)
            for key, members in samples.items():
                contents = {
                    suffix: _read(file, member)
                    for suffix, member in members.items()
                    if suffix in (".txt", ".json") and member.size <= MAX_TEXT_BYTES
                }
                yield _sample(row, key, members, contents, file)
        if damage:
            yield _row(row, f"damaged after {len(samples)} samples", error=damage)


class _Facts(NamedTuple):
    caption: str
    metadata: Mapping[str, Any]


def _sample(
    row: ListedShard, key: str, members: Mapping[str, Member], contents: Mapping[str, bytes], file: Any
) -> ShardSample:
    media = next((members[suffix] for suffix in MEDIA_SUFFIXES if suffix in members), None)
    if media is None:
        names = ", ".join(sorted(members))
        return _row(row, key, error=f"it has no video or image, but {names}")
    data = _read(file, media)
    digest = hashlib.sha256(data).hexdigest()
    try:
        if len(data) != media.size:
            raise Reject(f"{media.name} has {media.size} bytes, but the shard ends after {len(data)} of them")
        facts = _read_facts(contents)
        with local_bytes(data, media.name) as path:
            length = measure_length(path)
    except (Reject, ValueError) as reason:
        return _row(row, key, media, digest, error=f"{media.name}: {reason}")
    seconds = float(length.duration_s)
    return ShardSample(
        shard_key=key,
        media_sha256=digest,
        shard_uri=row.uri,
        media_name=media.name,
        media_offset=media.offset,
        media_bytes=media.size,
        clip_frames=length.frames,
        clip_duration_s=seconds,
        caption=facts.caption,
        start_s=float(facts.metadata.get("start_s") or 0.0),
        end_s=float(facts.metadata.get("end_s") or seconds),
        split=str(facts.metadata.get("split") or _split_of(row.source)),
        sample_error="",
    )


def _row(
    row: ListedShard, key: str, media: Member | None = None, digest: str = "", *, error: str
) -> ShardSample:
    """The row of a sample that cannot be read."""
    name, offset, size = media or ("", 0, 0)
    return ShardSample(
        shard_key=key, media_sha256=digest, shard_uri=row.uri, media_name=name, media_offset=offset,
        media_bytes=size, clip_frames=0, clip_duration_s=0.0, caption="", start_s=0.0, end_s=0.0,
        split=_split_of(row.source), sample_error=error,
    )  # fmt: skip


def _read_facts(contents: Mapping[str, bytes]) -> _Facts:
    """The caption and the json of a sample.

    Raises:
        ValueError: The json or the text cannot be read.
    """
    metadata = json.loads(contents[".json"]) if ".json" in contents else {}
    metadata = metadata if isinstance(metadata, dict) else {}
    texts = [contents[".txt"].decode()] if ".txt" in contents else []
    texts += [str(metadata[name]) for name in CAPTION_KEYS if metadata.get(name)]
    return _Facts(texts[0] if texts else "", metadata)


def _split_of(source: str) -> str:
    """The split of a shard by its folder: "validation" below shards-validation."""
    folders = [part for part in PurePosixPath(source).parts[:-1] if part.startswith("shards-")]
    return folders[-1].removeprefix("shards-") if folders else "train"


def _suffix(member: Member) -> str:
    return member.name.removeprefix(member.key).lower()


def _read(file: Any, member: Member) -> bytes:
    file.seek(member.offset)
    data: bytes = file.read(member.size)
    return data
