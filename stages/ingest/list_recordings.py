"""Lists recordings: files of several cameras that were recorded at the same time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property

from manifests import ClipmillError, Row, column
from manifests.identity import digest_of, id_of
from pipeline import Source
from stages.ingest.camera_files import CameraFile, camera_files, compile_pattern
from stages.ingest.list_videos import ListVideos, read_contents
from stages.ingest.listing import Listing


class Recording(Row):
    id: str = column(
        "digest of the names and the content of all cameras, and the ordinal among identical ones"
    )
    recording: str = column("name of the recording", group=True)
    recording_cameras: tuple[str, ...] = column("names of the cameras, in the order of the list or folder")
    camera_uris: tuple[str, ...] = column("per camera: absolute path or URL of the file, without secrets")
    camera_sources: tuple[str, ...] = column("per camera: path relative to the root, or entry of the list")
    camera_sizes_bytes: tuple[int, ...] = column("per camera: size of the file", unit="bytes")
    camera_sha256: tuple[str, ...] = column("per camera: SHA-256 of 16 samples of the content")
    camera_errors: tuple[str, ...] = column("per camera: why the file cannot be read; empty if it can")
    camera_starts_s: tuple[float, ...] = column(
        "per camera: time of its first frame on the clock of the recording", unit="s"
    )
    camera_calibrations: tuple[str, ...] = column(
        "per camera: the other columns of the list as JSON, for example its calibration; {} if there are none"
    )


class ListRecordings(Source[Recording]):
    """Lists recordings, one row for each. `ListCameras` makes a row of each camera.

    In a folder or at a URL, `pattern` says which part of a path is the name of the recording, and which that
    of the camera. A list (CSV, JSON lines or Parquet) has the columns `uri`, `recording` and `camera`, if it
    wants `start_s`, the time of the first frame in seconds on a clock that the cameras of a recording share
    (0 if it is empty), and any others, which stay with the clips as JSON. Files that fit no recording are
    left out, and `clipmill plan` and `run` show their number.

    Attributes:
        root: Folder or URL of the files, or a list of paths and URLs; several are separated by commas.
        pattern: Path of a file below `root` without its ending, with {recording} and {camera}; * stands for
            any part of a name. {recording} may span several folders. Not used for a list with columns.
        extensions: Endings of the names of videos in folders; see `ListVideos`. More endings list more files.
        allow_private_urls: Whether URLs of a list may reach private addresses; see `ListVideos`.
    """

    execution_settings = frozenset({"root", "allow_private_urls"})

    root: str
    pattern: str = "{recording}/{camera}"
    extensions: tuple[str, ...] = ()
    allow_private_urls: bool = False

    def __post_init__(self) -> None:
        compile_pattern(self.pattern)

    @cached_property
    def _videos(self) -> ListVideos:
        return ListVideos(
            root=self.root, extensions=self.extensions, allow_private_urls=self.allow_private_urls
        )

    def digest(self) -> str:
        """Return the digest of the listing: names, columns, sizes and modification times or ETags.

        Raises:
            ClipmillError: `root` does not exist, or no file of it is that of a camera.
        """
        listing, cameras = self._list()
        vars(self)["_listed"] = listing, cameras
        stamps = [(f.file.source, f.file.size_bytes, f.file.state, f.file.problem) for f in cameras]
        return digest_of(stamps, [(f.recording, f.camera, f.start_s, f.calibration) for f in cameras])

    def notes(self) -> tuple[str, ...]:
        """See `Source.notes`: the files that are left out of the last digest."""
        listing, cameras = vars(self).get("_listed") or self._list()
        left_out = len(listing.files) - len(cameras)
        files = "1 file is" if left_out == 1 else f"{left_out:,} files are"
        notes = (f"{files} left out: no recording and camera in the path",) if left_out else ()
        return (*listing.notes(), *notes)

    def rows(self) -> Iterator[Recording]:
        recordings: dict[str, list[CameraFile]] = {}
        for file in self._list()[1]:
            recordings.setdefault(file.recording, []).append(file)
        copies: Counter[str] = Counter()
        for name, cameras in recordings.items():
            contents = [content for _, content in read_contents([camera.file for camera in cameras])]
            identity = [(c.camera, *content[:2]) for c, content in zip(cameras, contents, strict=True)]
            content = id_of("recording", identity)
            copies[content] += 1
            copy = copies[content] - 1
            yield _recording(id_of("recording", content, copy) if copy else content, name, cameras, contents)

    def _list(self) -> tuple[Listing, list[CameraFile]]:
        listing = self._videos.listing()
        cameras = list(camera_files(listing.files, self.pattern))
        if not cameras:
            raise ClipmillError(
                f"none of {len(listing.files)} files names a recording and a camera",
                where=f"{listing.files[0].source}, …",
                remedy=f"the pattern is {self.pattern!r}; a list needs the columns recording and camera",
            )
        return listing, cameras


def _recording(
    row: str, name: str, cameras: Sequence[CameraFile], contents: Sequence[tuple[int, str, str]]
) -> Recording:
    return Recording(
        id=row,
        recording=name,
        recording_cameras=tuple(camera.camera for camera in cameras),
        camera_uris=tuple(camera.file.uri for camera in cameras),
        camera_sources=tuple(camera.file.source for camera in cameras),
        camera_sizes_bytes=tuple(size for size, _, _ in contents),
        camera_sha256=tuple(sha256 for _, sha256, _ in contents),
        camera_errors=tuple(
            camera.problem or problem for camera, (_, _, problem) in zip(cameras, contents, strict=True)
        ),
        camera_starts_s=tuple(camera.start_s for camera in cameras),
        camera_calibrations=tuple(camera.calibration for camera in cameras),
    )
