"""What a curation of ten million videos costs, from the figures that `benchmarks.scale` measures."""

from collections.abc import Mapping
from typing import Any

from pipeline.engine.steps.groups.batches import batch_count
from pipeline.planning.part_sizes import part_size

USD_PER_1000 = {"PUT": 0.005, "LIST": 0.005, "GET": 0.0004, "HEAD": 0.0004, "DELETE": 0.0}  # S3, us-east-1
VIDEOS, CLIPS, VIDEO_BYTES = 10_000_000, 500_000_000, 100_000_000
NODES, CORES = 200, 16
CPU_S_PER_CLIP = 4.0  # an assumption: decoding, measures and encoding of a clip of a few seconds
STEPS, BARRIERS = 16, 3  # of a recipe such as `curate`; the barriers are comparisons and surveys
GROUP_ROWS = 128  # clips of 2 MB in a shard of 256 MB


def parts_of_source(videos: int, video_bytes: int) -> int:
    """The number of parts of a source whose files are equally large."""
    number = 0
    while videos > 0:
        rows, size_bytes = part_size(number)
        videos -= min(rows, max(1, size_bytes // video_bytes))
        number += 1
    return number


def extrapolate(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lines of a table: what is counted, and its value."""
    run, schedule, measured = found["run"], found["schedule"], len(found["run"]["steps"])
    parts = parts_of_source(VIDEOS, VIDEO_BYTES)
    tasks = run["steps"][0]["parts"] * measured
    clip_steps = [
        step for step in run["steps"] if step["step"] in ("score_clip", "find_copies", "find_clips")
    ]
    row_bytes = sum(s["bytes"] for s in clip_steps) / sum(s["rows"] for s in clip_steps)
    manifest_bytes = sum(s["manifest_bytes"] for s in run["steps"]) / tasks
    batches = batch_count(parts)
    seconds = CLIPS * CPU_S_PER_CLIP / (NODES * CORES)
    lines = [
        ("videos, clips", f"{VIDEOS:,}, {CLIPS:,}"),
        ("parts of a step", f"{parts:,}, with {CLIPS // parts:,} clips each on average"),
        ("files of rows", f"{parts * (STEPS + 3 * BARRIERS):,}"),
        ("bytes of a column table", f"{CLIPS * row_bytes / 1e9:,.0f} GB"),
        ("manifest of a step", f"{manifest_bytes * parts / 1e6:,.0f} MB"),
        ("schedule, 8 steps", f"{schedule['bytes'] / 1e6:,.0f} MB, {schedule['cpu_s']:,.0f} s of CPU"),
        ("shards of 256 MB", f"{CLIPS // GROUP_ROWS:,}, in {batches:,} batches"),
        ("hours on 200 nodes", f"{seconds / 3600:,.0f} h at {CPU_S_PER_CLIP:g} CPU s per clip"),
    ]
    if "requests" in found:
        counts = {m: n * parts * STEPS / measured for m, n in found["requests"]["per part"].items()}
        lines.append(("requests by parts", _priced(counts)))
    lines.append(("reads of barriers, at most", _priced({"GET": 4.0 * parts * batches * BARRIERS})))
    lines.append(("files of shards and groups", _priced({"PUT": 2.0 * CLIPS / GROUP_ROWS})))
    return lines


def _priced(counts: Mapping[str, float]) -> str:
    usd = sum(n / 1000 * USD_PER_1000[method] for method, n in counts.items())
    what = ", ".join(f"{method} {n / 1e6:,.1f} M" for method, n in counts.items() if n > 5e4)
    return f"{what}: {usd:,.0f} USD"
