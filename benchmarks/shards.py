"""How fast are shards made? Cutting against ffmpeg at the same settings and threads, packing against tar.

    python -m benchmarks.shards FILM [FILM …] [--span-s S] [--repeats N] [--threads N] [--json OUT]

Each film is cut into spans of S seconds, from its beginning to its end. ffmpeg decodes from the same place
(-ss before -i), and encodes with the same preset, crf, rate and options of x264 and the same threads, one
process per span. Both sides take turns, and the ratio is of that pair: other work on the machine slows both.
"cpu" is the ratio in processor time. Packing is PackShards, digests included, against tarfile writing the
same members, and against reading and writing the same bytes.
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

from benchmarks.printing import table, write_json
from stages.media.decode import open_video
from stages.media.encoders import REPEATABLE
from stages.media.fingerprint import fingerprint
from stages.shards.cut_clip import CutClip, CutOut, KeptClip
from stages.shards.pack_shards import CaptionedClip, PackShards

FFMPEG = "ffmpeg"


def spans_of(film: Path, span_s: float) -> tuple[list[KeptClip], Fraction, Fraction, int]:
    """Rows for spans of a film, its time base, its rate and its frames."""
    size, content = fingerprint(str(film))
    with open_video(str(film)) as video:
        pts = [frame.pts for frame in video.frames()]
        base, rate = video.time_base, video.fps
    pts.append(pts[-1] + round(1 / (rate * base)))
    each = max(1, round(span_s * rate))
    edges = [*range(0, len(pts) - 1, each), len(pts) - 1]
    rows = [
        KeptClip(
            uri=str(film), size_bytes=size, content_sha256=content, variable_rate=False, start_pts=pts[a],
            end_pts=pts[b], start_frame=a, end_frame=b,
        )
        for a, b in pairwise(edges)
    ]  # fmt: skip
    return rows, base, rate, len(pts) - 1


def ours(rows: list[KeptClip], stage: CutClip) -> list[CutOut]:
    found = list(stage.annotate(rows))
    wrong = [answer for answer in found if not isinstance(answer, CutOut)]
    if wrong:
        raise SystemExit(f"a span could not be cut: {wrong[0]}")
    return [answer for answer in found if isinstance(answer, CutOut)]


def theirs(rows: list[KeptClip], base: Fraction, rate: Fraction, stage: CutClip, folder: Path) -> list[Path]:
    """The same by ffmpeg, one process per span; pixels that are not square are made so."""
    made = []
    with open_video(rows[0].uri) as video:
        wide, high = video.shown_size(0)
        shape = ["-vf", f"scale={wide}:{high}:flags=bicubic,setsar=1"] if video.sample_aspect != 1 else []
    for number, row in enumerate(rows):
        path = folder / f"{number}.mp4"
        command = [
            FFMPEG, "-v", "error", "-y", "-threads", "1", "-ss", f"{float(row.start_pts * base):.6f}",
            "-i", row.uri, "-frames:v", str(row.end_frame - row.start_frame), "-an", *shape, "-c:v",
            "libx264", "-threads", str(stage.threads), "-filter_threads", "1", "-crf", str(stage.crf),
            "-preset", stage.preset, "-x264-params", REPEATABLE,
            "-r", str(rate), "-movflags", "+faststart", str(path),
        ]  # fmt: skip
        subprocess.run(command, check=True)
        made.append(path)
    return made


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it gave, seconds by the clock, seconds of the processor with those of child processes."""
    wall, cpu = time.perf_counter(), _cpu_s()
    given = work()
    return given, time.perf_counter() - wall, _cpu_s() - cpu


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def cutting(film: Path, span_s: float, threads: int, repeats: int) -> tuple[dict[str, Any], list[CutOut]]:
    """Frames per second of both sides, the share of ffmpeg's rate that CutClip reaches, and what it cut."""
    rows, base, rate, frames = spans_of(film, span_s)
    stage = CutClip(threads=threads)
    walls, cpus, fps, clips = [], [], [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            _, wall_s, cpu_s = timed(lambda: theirs(rows, base, rate, stage, Path(folder)))
            their_bytes = sum(path.stat().st_size for path in Path(folder).iterdir())
        clips, our_wall_s, our_cpu_s = timed(lambda: ours(rows, stage))
        walls.append(wall_s / our_wall_s)
        cpus.append(cpu_s / our_cpu_s)
        fps.append((frames / our_wall_s, frames / wall_s))
    found = {
        "film": film.name,
        "frames": frames,
        "clips": len(rows),
        "fps": statistics.median(mine for mine, _ in fps),
        "ffmpeg_fps": statistics.median(other for _, other in fps),
        "ratio": statistics.median(walls),
        "cpu_ratio": statistics.median(cpus),
        "clips_per_s": len(rows) * statistics.median(mine for mine, _ in fps) / frames,
        "MB_per_s": sum(c.clip_size_bytes for c in clips)
        / 1e6
        * statistics.median(m for m, _ in fps)
        / frames,
        "bytes_ratio": sum(c.clip_size_bytes for c in clips) / their_bytes,
    }
    return found, clips


def packing(clips: list[CutOut], repeats: int) -> dict[str, float]:
    """MB/s of PackShards, of tarfile and of copying, over the same clips many times."""
    many = max(1, round(200e6 / sum(clip.clip_size_bytes for clip in clips)))
    rows = [
        CaptionedClip(
            id=f"{k:06d}", source="a.mp4", start_s=0.0, end_s=1.0, caption="a clip", clip=clip.clip,
            clip_audio="", clip_width_px=1280, clip_height_px=720, clip_frames=100, clip_fps=25.0,
            clip_duration_s=4.0,
        )
        for k, clip in enumerate(clips * many)
    ]  # fmt: skip
    size = sum(row.clip.size_bytes for row in rows) / 1e6
    _packed(rows[:1])  # so that what it imports is not counted
    rates: dict[str, list[float]] = {"pack": [], "tarfile": [], "copy": []}
    for _ in range(repeats):
        for name, work in (("copy", _copied), ("tarfile", _tarred), ("pack", _packed)):
            _, wall_s, _ = timed(partial(work, rows))
            rates[name].append(size / wall_s)
    return {"packed_MB": size} | {f"{name}_MB_per_s": statistics.median(r) for name, r in rates.items()}


def _packed(rows: list[CaptionedClip]) -> None:
    first = next(iter(PackShards().settle("720p_16x9_65-128f-000000", rows, b"")))
    assert first.shard.file is not None
    first.shard.file.unlink()


def _tarred(rows: list[CaptionedClip]) -> None:
    with tempfile.NamedTemporaryFile() as file, tarfile.open(file.name, "w") as tar:
        for row in rows:
            for kind, content in (("mp4", row.clip.read()), ("json", b"{}" * 100), ("txt", b"a clip")):
                info = tarfile.TarInfo(f"{row.id}.{kind}")
                info.size = len(content)
                tar.addfile(info, BytesIO(content))


def _copied(rows: list[CaptionedClip]) -> None:
    with tempfile.TemporaryFile() as file:
        for row in rows:
            file.write(row.clip.read())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--span-s", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json")
    args = parser.parse_args()
    if shutil.which(FFMPEG) is None:
        raise SystemExit("there is no ffmpeg on this machine to compare with")
    found, clips = [], list[CutOut]()
    with tempfile.TemporaryDirectory() as drafts:
        tempfile.tempdir = drafts
        for film in args.films:
            one, made = cutting(film, args.span_s, args.threads, args.repeats)
            found.append(one)
            clips += made
        names = (
            "film",
            "frames",
            "clips",
            "fps",
            "ffmpeg_fps",
            "ratio",
            "cpu_ratio",
            "clips_per_s",
            "MB_per_s",
            "bytes_ratio",
        )
        shown = [
            [one[n] if isinstance(one[n], str | int) else f"{one[n]:.2f}" for n in names] for one in found
        ]
        print(table(names, shown))
        packed = packing(clips, args.repeats)
        print("\n" + table(list(packed), [[f"{value:.0f}" for value in packed.values()]]))
        every = (
            statistics.median(one["ratio"] for one in found),
            statistics.median(one["cpu_ratio"] for one in found),
        )
        print(f"\nmedian of films: {every[0]:.2f} of ffmpeg's rate by the clock, {every[1]:.2f} by processor")
    write_json(args.json, {"cutting": found, "packing": packed, "threads": args.threads})


if __name__ == "__main__":
    main()
