"""clipmill simulate: write videos whose truth is known, with their conditions and a list for recipes."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from manifests import ClipmillError
from manifests.column import Range
from manifests.messages import join_names

GENERATORS = {  # kind: (the generator, what it simulates)
    "camera": ("stages.simulation.camera:CameraRooms", "a camera that moves in a room of still objects"),
    "physics": ("stages.simulation.physics:PhysicsScenes", "eight scenes of falling objects, four cameras"),
    "driving": ("stages.simulation.driving:DrivingStreets", "cameras on a car that drives along a street"),
    "action": ("stages.simulation.action:PushEpisodes", "a disc that pushes a puck, with its actions"),
    "arm": (
        "stages.simulation.arm.arm_episodes:ArmEpisodes",
        "a robot arm that pushes a puck, with its actions and masks",
    ),
    "instruction": (
        "stages.simulation.instruction:InstructionEpisodes",
        "the same discs, and a caption that says to which edge the puck is pushed",
    ),
}
_OPTIONS: dict[str, tuple[Callable[[str], Any], str]] = {  # settings of generators: type, meaning
    "frames": (Range(2).argument(), "frames of a video"),
    "fps": (Range(above=0).argument(float), "frames per second"),
    "width": (Range(16).argument(), "width in px, even"),
    "height": (Range(16).argument(), "height in px, even"),
    "cameras": (Range(1, 16).argument(), "number of cameras"),
    "traffic": (Range(0, 16).argument(), "number of other cars that move"),
    "size": (Range(16).argument(), "width and height in px, even"),
    "noise": (Range(0, 1).argument(float), "greatest share of random motion in the actions of an episode"),
}


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "simulate",
        description="Write videos whose truth is known: NAME.mp4 with NAME.conditions.parquet, for some "
        "kinds NAME.masks.npz, and list.csv, which recipes read as footage. The same seed gives the same "
        "bytes, with any number of processes. It needs the extra `simulation`, but no display and no GPU.",
        epilog="example:\n  clipmill simulate camera --out DIR --scenes 300 --seed 0\n"
        "  clipmill simulate action --out DIR --scenes 1500 --frames 41 --size 64 --processes 2",
    )
    kinds = "; ".join(f"{kind}: {text}" for kind, (_, text) in GENERATORS.items())
    parser.add_argument("kind", choices=tuple(GENERATORS), metavar="KIND", help=kinds)
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the videos")
    scenes, seed = Range(1).argument(), Range(0).argument()
    parser.add_argument(
        "--scenes", type=scenes, default=10, metavar="N", help="number of scenes (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="decides all random choices (%(default)s)"
    )
    for name, (kind, text) in _OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, metavar="N", help=f"{text} ({_defaults(name)})")
    parser.add_argument(
        "--validation-share",
        type=Range(0, 1).argument(float),
        default=0.1,
        metavar="X",
        help="share of the scenes in the validation split (%(default)s)",
    )
    parser.add_argument(
        "--processes",
        type=Range(1).argument(),
        default=1,
        metavar="N",
        help="scenes simulated in parallel, to the same bytes (%(default)s)",
    )
    parser.add_argument(
        "--lossless",
        action="store_true",
        help="keep every value of a pixel, for models of exact pixels; files are larger",
    )
    parser.set_defaults(func=simulate)


def simulate(args: Namespace) -> int:
    """Write the videos and print where they are.

    Raises:
        ClipmillError: The kind does not have an option, or this machine cannot simulate it.
    """
    from stages.simulation.write_films import write_films

    generator = _generator(args.kind)
    known = {field.name: field.default for field in fields(generator)}
    given = {name: value for name in _OPTIONS if (value := getattr(args, name)) is not None}
    if unknown := [name for name in given if name not in known]:
        raise ClipmillError(
            f"{args.kind} has no option --{unknown[0]}",
            remedy="options: " + join_names([f"--{name}" for name in _OPTIONS if name in known]),
        )
    if odd := [name for name in ("width", "height", "size") if given.get(name, 0) % 2]:
        raise ClipmillError(
            f"--{odd[0]} is {given[odd[0]]}; a side must be even", remedy=f"set it to {given[odd[0]] + 1}"
        )
    listed = write_films(
        args.out,
        generator(seed=args.seed, **given),
        args.scenes,
        validation_share=args.validation_share,
        processes=args.processes,
        lossless=args.lossless,
    )
    print(f"{listed}: {args.scenes} scenes")
    return 0


def _generator(kind: str) -> Any:
    """The class of a generator."""
    module, name = GENERATORS[kind][0].split(":")
    return getattr(import_module(module), name)


def _defaults(option: str) -> str:
    """The default of an option in each kind that has it."""
    defaults = {kind: {f.name: f.default for f in fields(_generator(kind))} for kind in GENERATORS}
    return ", ".join(f"{kind} {known[option]:g}" for kind, known in defaults.items() if option in known)
