"""The command plan-training."""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from manifests import Range

ParseKnobs = Callable[[Sequence[str]], dict[str, Any]]


def add_plan_verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", parse_knobs: ParseKnobs
) -> None:
    """Add the command. It sets `func`, a function of the parsed arguments that returns the exit code.

    Args:
        verbs: Where the command is added.
        parse_knobs: Parses arguments KNOB=VALUE.
    """
    plan = verbs.add_parser(
        "plan-training",
        help="predict memory and time of a training, without data",
        epilog="example:\n  clipmill plan-training --shape 16,24,88,160 --num-ranks 4\n"
        "  clipmill plan-training --shape 16,4,4,4 model=tiny conditions=action --action-dim 8",
    )
    plan.add_argument("knobs", nargs="*", metavar="KNOB=VALUE", help="as for train")
    plan.add_argument("--shape", required=True, help="latents of a clip: channels,frames,height,width")
    for name, default, text in (
        ("num-ranks", 1, "ranks in total"),
        ("text-tokens", 512, "text tokens per clip"),
    ):
        plan.add_argument(
            f"--{name}", type=Range(1).argument(), default=default, help=f"{text} (%(default)s)"
        )
    plan.add_argument(
        "--action-dim",
        type=Range(1).argument(),
        metavar="N",
        help="with conditions=action: numbers of an action, times the temporal stride of the tokenizer",
    )
    for name, default_share, text in (
        ("mfu", 0.4, "share of the peak FLOP/s that is reached"),
        ("peak-tflops", 989.0, "peak TFLOP/s of one device; 989: bf16 of an H100"),
    ):
        positive = Range(above=0).argument(float)
        plan.add_argument(f"--{name}", type=positive, default=default_share, help=f"{text} (%(default)s)")
    plan.add_argument("--json", action="store_true", help="print one JSON object; memory in bytes")
    plan.set_defaults(func=partial(_plan, parse_knobs))


def _plan(parse_knobs: ParseKnobs, args: argparse.Namespace) -> int:
    from training.errors import SettingError
    from training.planning.memory import PlannedConditions
    from training.planning.plan import plan_training
    from training.recipes.config import TrainingConfig

    try:
        c, t, h, w = (int(size) for size in args.shape.split(","))
        if min(c, t, h, w) < 1:
            raise ValueError
    except ValueError:
        raise SettingError(
            f"--shape {args.shape!r} is not four positive numbers", remedy="write for example 16,24,88,160"
        ) from None
    config = TrainingConfig(**parse_knobs(args.knobs), data=())
    if bool(args.action_dim) != ("action" in config.condition_names):
        raise SettingError(
            "--action-dim is the size of actions, and conditions is without action"
            if args.action_dim
            else "a plan with conditions=action needs the size of the actions",
            remedy="give both --action-dim N and conditions=action, or neither",
        )
    injection = config.camera_injection if "camera" in config.condition_names else ""
    plan = plan_training(
        config,
        (c, t, h, w),
        args.num_ranks,
        conditions=PlannedConditions(args.action_dim or 0, injection),
        text_tokens=args.text_tokens,
        mfu=args.mfu,
        peak_flops=args.peak_tflops * 1e12,
    )
    print(json.dumps(asdict(plan)) if args.json else "\n".join(plan.lines()))
    return 0
