"""The command evaluate world: generated videos against a reference, with controls."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from manifests import Range

if TYPE_CHECKING:
    from training.evaluation.world.measure import Measure

METRICS = (
    "sampson", "poses", "psnr", "ssim", "physics-iq", "mask-iou", "objects", "instruction", "cross-view",
    "judge",
)  # fmt: skip
SHUFFLED = "shuffled condition"  # the row of --shuffled


def add_world(subjects: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `world` to the subjects of the command evaluate."""
    world = subjects.add_parser(
        "world",
        help="measure generated videos against a reference, with controls",
        description="Measure generated videos against the cameras, the motion and the objects of a reference."
        " Each table has the ground truth, a frozen video, another clip, and constant velocity as rows.",
        epilog="example:\n"
        "  clipmill evaluate world --videos /data/made --reference /data/truth --html /data/w.html\n"
        "  clipmill evaluate world --videos /data/made --reference /data/truth --metrics sampson,poses",
    )
    world.add_argument(
        "--videos",
        type=Path,
        required=True,
        metavar="DIR",
        help="generated videos NAME.mp4, or NAME__0.mp4, NAME__1.mp4 … for several seeds",
    )
    world.add_argument(
        "--reference",
        type=Path,
        required=True,
        metavar="DIR",
        help="videos NAME.mp4, with NAME.conditions.parquet (cameras, states) and NAME.masks.npz",
    )
    world.add_argument(
        "--metrics",
        default="",
        metavar="NAME,NAME",
        help=f"some of {', '.join(METRICS)}; by default all but poses, which takes up to a minute per video",
    )
    world.add_argument(
        "--given-frames",
        type=Range(1).argument(),
        default=1,
        metavar="N",
        help="frames at the start that the model was given; errors do not count them (%(default)s)",
    )
    _add_rows(world)
    _add_options(world)
    world.set_defaults(func=_evaluate_world)


def _add_options(world: argparse.ArgumentParser) -> None:
    world.add_argument(
        "--gaps",
        type=Range(1).argument(),
        nargs="+",
        default=[1, 2, 4, 8],
        metavar="N",
        help="of sampson: frames between the two frames of a pair (1 2 4 8)",
    )
    world.add_argument(
        "--max-pairs",
        type=Range(1).argument(),
        default=16,
        metavar="N",
        help="of sampson: maximum number of pairs per gap, evenly spaced (%(default)s)",
    )
    world.add_argument(
        "--fvd-weights", type=Path, metavar="FILE", help="compute FVD too, with this TorchScript file"
    )
    world.add_argument(
        "--answers",
        type=Path,
        metavar="FILE",
        help="of judge: Parquet table of answers, see stages/judge",
    )
    world.add_argument("--json", type=Path, metavar="OUT", help="file for all figures")
    world.add_argument("--html", type=Path, metavar="OUT", help="page with tables, drift curves and videos")
    world.add_argument(
        "--seed",
        type=Range(0).argument(),
        default=0,
        help="of the bootstrap and of other clips (%(default)s)",
    )
    world.add_argument("--num-threads", type=Range(1).argument(), default=2, help="CPU threads (%(default)s)")


def _add_rows(world: argparse.ArgumentParser) -> None:
    world.add_argument(
        "--shuffled",
        type=Path,
        metavar="DIR",
        help="videos NAME.mp4 that were generated with the condition of another clip",
    )
    world.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="ROW=DIR",
        help="videos of another model as a further row; repeat it for several",
    )
    world.add_argument(
        "--object",
        action="append",
        default=[],
        metavar="NAME=R,G,B",
        help="of objects and instruction: color of an object, 0..255; states NAME_x, NAME_y are its true"
        " position",
    )


def _evaluate_world(args: argparse.Namespace) -> int:
    import torch

    from training.errors import SettingError
    from training.evaluation.world.evaluate import Request, evaluate_world
    from training.evaluation.world.fvd import FvdRows
    from training.evaluation.world.page import write_page
    from training.metrics.fvd import VideoFeatures
    from training.metrics.world.matches import require_opencv

    for out in (args.json, args.html):
        if out is not None and not out.parent.is_dir():
            raise SettingError("there is no such folder to write to", where=str(out.parent))
    names = _metric_names(args)
    torch.set_num_threads(args.num_threads)
    require_opencv().setNumThreads(args.num_threads)
    report = evaluate_world(
        Request(
            args.videos,
            args.reference,
            _open_measures(names, args),
            _further_rows(args),
            given_frames=args.given_frames,
            cross_view="cross-view" in names,
            fvd=FvdRows(VideoFeatures(args.fvd_weights)) if args.fvd_weights else None,
            seed=args.seed,
            answers=args.answers if "judge" in names else None,
        )
    )
    if args.json:
        args.json.write_text(json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n")
    if args.html:
        write_page(report, args.html)
    print("\n".join(report.lines()))
    return 0


def _metric_names(args: argparse.Namespace) -> list[str]:
    """The names of --metrics. By default all but `poses` and those without their data."""
    from manifests.messages import suggest_names
    from training.errors import SettingError

    has_objects, has_answers = bool(args.object), bool(args.answers)
    given = {"objects": has_objects, "instruction": has_objects, "judge": has_answers, "poses": False}
    if not args.metrics:
        return [name for name in METRICS if given.get(name, True)]
    names = list(dict.fromkeys(args.metrics.split(",")))
    for name in names:
        if name not in METRICS:
            known = f"choose some of {', '.join(METRICS)}"
            raise SettingError(
                f"there is no metric {name!r}",
                remedy=" ".join(filter(None, (suggest_names(name, METRICS), known))),
            )
    if not has_objects and (colored := {"objects", "instruction"} & {*names}):
        raise SettingError(
            f"the metric {min(colored)} needs colors of objects", remedy="add --object NAME=R,G,B"
        )
    if "judge" in names and not has_answers:
        raise SettingError(
            "the metric judge needs answers about the videos",
            remedy="add --answers FILE, a table of the recipe judge: stages/judge/README.md",
        )
    return names


def _open_measures(names: list[str], args: argparse.Namespace) -> "list[Measure]":
    from training.evaluation.world.measures.image import Psnr, Ssim
    from training.evaluation.world.measures.instruction import Instruction
    from training.evaluation.world.measures.objects import Objects
    from training.evaluation.world.measures.physics import MaskIou, PhysicsIq
    from training.evaluation.world.measures.places import ObjectPlaces
    from training.evaluation.world.measures.poses import Poses
    from training.evaluation.world.measures.sampson import Sampson
    from training.metrics.world.structure_from_motion import load_pycolmap

    measures: list[Measure] = []
    places = ObjectPlaces(dict(_parse_color(text) for text in args.object))
    for name in names:
        if name == "sampson":
            measures.append(Sampson(tuple(sorted({*args.gaps})), args.max_pairs))
        elif name == "poses":
            load_pycolmap()
            measures.append(Poses(args.num_threads, args.seed))
        elif name == "objects":
            measures.append(Objects(places))
        elif name == "instruction":
            measures.append(Instruction(places))
        elif name not in ("cross-view", "judge"):
            kinds: dict[str, type[Psnr | Ssim | PhysicsIq | MaskIou]] = {
                "psnr": Psnr, "ssim": Ssim, "physics-iq": PhysicsIq, "mask-iou": MaskIou,
            }  # fmt: skip
            measures.append(kinds[name]())
    return measures


def _further_rows(args: argparse.Namespace) -> dict[str, Path]:
    from training.errors import SettingError
    from training.evaluation.world.table import ORDER

    rows = {SHUFFLED: args.shuffled} if args.shuffled else {}
    for text in args.compare:
        row, sign, folder = text.partition("=")
        if not (row and sign and folder):
            raise SettingError(f"--compare {text!r} is no row", remedy="write ROW=DIR")
        if row in ORDER or row in rows:
            raise SettingError(f"the table has a row {row!r} already", remedy="choose another name")
        rows[row] = Path(folder)
    return rows


def _parse_color(text: str) -> tuple[str, tuple[float, float, float]]:
    from training.errors import SettingError

    name, _, values = text.partition("=")
    try:
        r, g, b = (float(value) for value in values.split(","))
    except ValueError:
        r = g = b = -1.0
    if not name or not all(0 <= value <= 255 for value in (r, g, b)):
        raise SettingError(
            f"--object {text!r} is no name and color", remedy="write NAME=R,G,B, such as puck=196,60,50"
        )
    return name, (r, g, b)
