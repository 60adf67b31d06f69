"""clipmill plan-actions: success of planners in a model and in the true simulator, on the push task."""

import json
from argparse import Namespace
from typing import Any

from manifests import ClipmillError
from manifests.column import Range

_COUNTS = {  # options of the search: type, default, meaning
    "horizon": (Range(1).argument(), 10, "actions of a plan"),
    "replan": (Range(1).argument(), 4, "actions that are applied before the next plan"),
    "candidates": (Range(1).argument(), 40, "sequences of actions that are predicted per iteration"),
    "iterations": (Range(1).argument(), 3, "updates of the distribution of a search"),
    "elites": (Range(1).argument(), 8, "best candidates that cem keeps"),
    "temperature": (Range(above=0).argument(float), 0.3, "of mppi, in standard deviations of the costs"),
}


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "plan-actions",
        description="Compare agents on the same episodes of the push task: random actions, a planner in the "
        "true simulator, and the scripted expert. A planner samples sequences of actions, predicts what they "
        "lead to, and applies the first actions of the best one. The table has the number of solved episodes "
        "and the Wilson interval of the rate. It needs the extra `simulation`.",
        epilog="example:\n  clipmill plan-actions --episodes 30 --planner cem --horizon 10 --replan 4\n"
        "  clipmill plan-actions --planner mppi --cost goal-image --json",
    )
    episodes, size = Range(1).argument(), Range(16).argument()
    parser.add_argument(
        "--episodes", type=episodes, default=30, metavar="N", help="episodes of each agent (%(default)s)"
    )
    parser.add_argument(
        "--steps", type=episodes, default=40, metavar="N", help="actions of an episode (%(default)s)"
    )
    parser.add_argument(
        "--planner",
        choices=("cem", "mppi"),
        default="cem",
        help="cross-entropy method, or MPPI (%(default)s)",
    )
    parser.add_argument(
        "--cost",
        choices=("reward", "goal-image"),
        default="reward",
        help="what planners minimize: distances of puck and pusher, or the distance to an image of the "
        "solved task (%(default)s)",
    )
    for name, (kind, default, text) in _COUNTS.items():
        parser.add_argument(
            f"--{name}", type=kind, default=default, metavar="N", help=f"{text} (%(default)s)"
        )
    parser.add_argument(
        "--size", type=size, default=32, metavar="PX", help="width and height of images (%(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=Range(0).argument(),
        default=0,
        metavar="N",
        help="seed of episodes and noise (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    parser.set_defaults(func=plan_actions)


def plan_actions(args: Namespace) -> int:
    """Run the comparison and print its table.

    Raises:
        ClipmillError: An option does not fit another one, or the extra is missing.
    """
    from dataclasses import asdict

    import torch

    from stages.simulation.control.compare_agents import HEADER, AgentResult, Comparison, compare_agents
    from stages.simulation.extra import import_extra
    from training.control.planner import PlannerSettings

    import_extra("pymunk")
    if args.replan > args.horizon:
        raise ClipmillError(
            f"--replan is {args.replan}, and a plan has {args.horizon} actions",
            remedy="lower --replan, or raise --horizon",
        )
    names = ("horizon", "candidates", "iterations", "elites", "temperature", "seed")
    settings = PlannerSettings(planner=args.planner, **{name: getattr(args, name) for name in names})
    comparison = Comparison(
        episodes=args.episodes,
        steps=args.steps,
        size=args.size,
        replan=args.replan,
        cost=args.cost,
        planner=settings,
        seed=args.seed,
    )

    def report(result: AgentResult) -> None:
        if not args.json:
            print(result.line(), flush=True)

    torch.set_num_threads(1)
    if not args.json:
        print(HEADER)
    results = compare_agents(comparison, report=report)
    if args.json:
        print(json.dumps({"settings": asdict(comparison), "agents": [each.to_json() for each in results]}))
    return 0
