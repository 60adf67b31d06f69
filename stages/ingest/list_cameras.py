"""Makes a row of each camera of a recording."""

import json
from collections.abc import Iterator

from manifests import Row, column
from pipeline import Expand


class Recording(Row):
    recording_cameras: tuple[str, ...]
    camera_uris: tuple[str, ...]
    camera_sources: tuple[str, ...]
    camera_sizes_bytes: tuple[int, ...]
    camera_sha256: tuple[str, ...]
    camera_errors: tuple[str, ...]
    camera_starts_s: tuple[float, ...]
    camera_calibrations: tuple[str, ...]


class Camera(Row):
    camera_name: str = column("name of the camera", key=True)
    uri: str = column("absolute path or URL of the file, without secrets", by_id=True)
    source: str = column("path of the file relative to the root, or entry of the list", by_id=True)
    size_bytes: int = column("size of the file", unit="bytes", by_id=True)
    content_sha256: str = column("SHA-256 of 16 samples of the content", by_id=True)
    list_error: str = column(
        "why the file cannot be read; empty if it can. ProbeVideo rejects it", by_id=True
    )
    camera_number: int = column("position of the camera in its recording, from 0")
    camera_start_s: float = column("time of the first frame on the clock of the recording", unit="s")
    camera_calibration: str = column("the other columns of the list as JSON")
    list_caption: str | None = column("caption of the camera, by the list")


class ListCameras(Expand[Recording, Camera]):
    """Makes a row of each camera of a recording, which other stages process like the row of any video.

    All cameras of a recording, and their clips, stay in its part. A camera that is listed twice is rejected.
    If the list has a column `caption`, its text is the caption of the clips of a camera.
    """

    version = 2
    from_store = True
    from_listing = True

    def expand(self, row: Recording) -> Iterator[Camera]:
        columns = zip(
            row.recording_cameras,
            row.camera_uris,
            row.camera_sources,
            row.camera_sizes_bytes,
            row.camera_sha256,
            row.camera_errors,
            row.camera_starts_s,
            row.camera_calibrations,
            strict=True,
        )
        for number, (name, uri, source, size, sha256, error, start_s, calibration) in enumerate(columns):
            yield Camera(
                camera_name=name,
                uri=uri,
                source=source,
                size_bytes=size,
                content_sha256=sha256,
                list_error=error,
                camera_number=number,
                camera_start_s=start_s,
                camera_calibration=calibration,
                list_caption=str(json.loads(calibration).get("caption") or "") or None,
            )
