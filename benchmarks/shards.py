"""Measures the speed of cutting clips, compared with ffmpeg, and of packing shards, compared with tarfile.

    python -m benchmarks.shards VIDEO [VIDEO …] [--span-s S] [--repeats N] [--threads N] [--json OUT]

Each video is cut into spans of S seconds, from its beginning to its end. ffmpeg decodes from the same
position (-ss before -i), and encodes with the same preset, crf, rate, x264 options and number of threads, one
process per span. Both run alternately, and a ratio is that of one pair, because other work on the machine
slows both down. "cpu" is the ratio of the CPU times. Packing compares PackShards, digests included, with
tarfile writing the same members, and with reading and writing the same bytes.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.workloads.printing import table, write_json
from stages.media.decoding.video import open_video
from stages.media.encoding.encoders import DETERMINISTIC_X264
from stages.media.fingerprint import fingerprint
from stages.shards.cut_clip import ClipFile, CutClip, KeptClip
from stages.shards.pack_shards import CaptionedClip, PackShards

FFMPEG = "ffmpeg"


def spans_of(video_path: Path, span_s: float) -> tuple[list[KeptClip], Fraction, Fraction, int]:
    """Rows for the spans of a video, its time base, its frame rate and its number of frames."""
    size, content = fingerprint(str(video_path))
    with open_video(str(video_path)) as video:
        pts = [frame.pts for frame in video.frames()]
        base, rate = video.time_base, video.fps
    pts.append(pts[-1] + round(1 / (rate * base)))
    frames_per_span = max(1, round(span_s * rate))
    edges = [*range(0, len(pts) - 1, frames_per_span), len(pts) - 1]
    rows = [
        KeptClip(
            uri=str(video_path), size_bytes=size, content_sha256=content, variable_rate=False,
            start_pts=pts[a], end_pts=pts[b], start_frame=a, end_frame=b,
        )
        for a, b in pairwise(edges)
    ]  # fmt: skip
    return rows, base, rate, len(pts) - 1


def cut_with_clipmill(rows: list[KeptClip], stage: CutClip) -> list[ClipFile]:
    """The clips of the spans, cut by the stage."""
    results = list(stage.annotate(rows))
    rejects = [result for result in results if not isinstance(result, ClipFile)]
    if rejects:
        raise SystemExit(f"a span could not be cut: {rejects[0]}")
    return [result for result in results if isinstance(result, ClipFile)]


def cut_with_ffmpeg(
    rows: list[KeptClip], base: Fraction, rate: Fraction, stage: CutClip, folder: Path
) -> list[Path]:
    """The files of the spans, cut by one ffmpeg process per span. Non-square pixels are made square."""
    paths = []
    with open_video(rows[0].uri) as video:
        first = next(video.frames())
        width, height = first.display_size
        scale = ["-vf", f"scale={width}:{height}:flags=bicubic,setsar=1"] if first.sample_aspect != 1 else []
    for number, row in enumerate(rows):
        path = folder / f"{number}.mp4"
        command = [
            FFMPEG, "-v", "error", "-y", "-threads", "1", "-ss", f"{float(row.start_pts * base):.6f}",
            "-i", row.uri, "-frames:v", str(row.end_frame - row.start_frame), "-an", *scale, "-c:v",
            "libx264", "-threads", str(stage.threads), "-filter_threads", "1", "-crf", str(stage.crf),
            "-preset", stage.preset, "-x264-params", DETERMINISTIC_X264,
            "-r", str(rate), "-movflags", "+faststart", str(path),
        ]  # fmt: skip
        subprocess.run(command, check=True)
        paths.append(path)
    return paths


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result of a call, its wall time in s, and its CPU time in s including child processes."""
    wall, cpu = time.perf_counter(), _cpu_s()
    result = work()
    return result, time.perf_counter() - wall, _cpu_s() - cpu


def _cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare_cutting(
    video_path: Path, span_s: float, threads: int, repeats: int
) -> tuple[dict[str, Any], list[ClipFile]]:
    """Frames per second of both, the ratio of CutClip to ffmpeg, and the clips."""
    rows, base, rate, frames = spans_of(video_path, span_s)
    stage = CutClip(threads=threads)
    clips: list[ClipFile] = []
    wall_ratios, cpu_ratios, stage_fps, ffmpeg_fps = [], [], [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            _, wall_s, cpu_s = timed(lambda: cut_with_ffmpeg(rows, base, rate, stage, Path(folder)))
            ffmpeg_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
        clips, stage_wall_s, stage_cpu_s = timed(lambda: cut_with_clipmill(rows, stage))
        wall_ratios.append(wall_s / stage_wall_s)
        cpu_ratios.append(cpu_s / stage_cpu_s)
        stage_fps.append(frames / stage_wall_s)
        ffmpeg_fps.append(frames / wall_s)
    fps, size = statistics.median(stage_fps), sum(clip.clip_size_bytes for clip in clips)
    result = {
        "video": video_path.name,
        "frames": frames,
        "clips": len(rows),
        "fps": fps,
        "ffmpeg_fps": statistics.median(ffmpeg_fps),
        "ratio": statistics.median(wall_ratios),
        "cpu_ratio": statistics.median(cpu_ratios),
        "clips_per_s": len(rows) * fps / frames,
        "MB_per_s": size / 1e6 * fps / frames,
        "bytes_ratio": size / ffmpeg_bytes,
    }
    return result, clips


def compare_packing(clips: list[ClipFile], repeats: int) -> dict[str, float]:
    """MB/s of PackShards, of tarfile and of copying, over about 200 MB of clips."""
    copies = max(1, round(200e6 / sum(clip.clip_size_bytes for clip in clips)))
    rows = [
        CaptionedClip(
            id=f"{k:06d}", source="a.mp4", start_s=0.0, end_s=1.0, caption="a clip", clip=clip.clip,
            clip_audio="", clip_width_px=1280, clip_height_px=720, clip_frames=100, clip_fps=25.0,
            clip_duration_s=4.0,
        )
        for k, clip in enumerate(clips * copies)
    ]  # fmt: skip
    size = sum(row.clip.size_bytes for row in rows) / 1e6
    _pack(rows[:1])  # so that imports are not measured
    rates: dict[str, list[float]] = {"pack": [], "tarfile": [], "copy": []}
    for _ in range(repeats):
        for name, work in (("copy", _copy), ("tarfile", _write_with_tarfile), ("pack", _pack)):
            _, wall_s, _ = timed(partial(work, rows))
            rates[name].append(size / wall_s)
    return {"packed_MB": size} | {f"{name}_MB_per_s": statistics.median(r) for name, r in rates.items()}


def _pack(rows: list[CaptionedClip]) -> None:
    first = next(iter(PackShards().settle("720p_16x9_65-128f-000000", rows, b"")))
    assert first.shard.file is not None
    first.shard.file.unlink()


def _write_with_tarfile(rows: list[CaptionedClip]) -> None:
    with tempfile.NamedTemporaryFile() as file, tarfile.open(file.name, "w") as tar:
        for row in rows:
            for kind, content in (("mp4", row.clip.read()), ("json", b"{}" * 100), ("txt", b"a clip")):
                info = tarfile.TarInfo(f"{row.id}.{kind}")
                info.size = len(content)
                tar.addfile(info, BytesIO(content))


def _copy(rows: list[CaptionedClip]) -> None:
    with tempfile.TemporaryFile() as file:
        for row in rows:
            file.write(row.clip.read())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--span-s", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json")
    args = parser.parse_args()
    if shutil.which(FFMPEG) is None:
        raise SystemExit("ffmpeg is not installed: install it to compare with it")
    cutting, clips = [], list[ClipFile]()
    with tempfile.TemporaryDirectory() as drafts:
        tempfile.tempdir = drafts
        for video_path in args.videos:
            result, new_clips = compare_cutting(video_path, args.span_s, args.threads, args.repeats)
            cutting.append(result)
            clips += new_clips
        names = list(cutting[0])
        values = [[result[name] for name in names] for result in cutting]
        print(table(names, [[v if isinstance(v, str | int) else f"{v:.2f}" for v in row] for row in values]))
        packing = compare_packing(clips, args.repeats)
        print("\n" + table(list(packing), [[f"{value:.0f}" for value in packing.values()]]))
    wall = statistics.median(result["ratio"] for result in cutting)
    cpu = statistics.median(result["cpu_ratio"] for result in cutting)
    print(f"\nmedian over the videos, relative to ffmpeg: {wall:.2f} by wall time, {cpu:.2f} by CPU time")
    write_json(args.json, {"cutting": cutting, "packing": packing, "threads": args.threads})


if __name__ == "__main__":
    main()
