"""clipmill plan-actions: success of planners in a model and in the true simulator, on the push task."""

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import ClipmillError
from manifests.column import Range

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.simulation.control.compare_agents import AgentResult, Comparison
    from stages.simulation.control.evaluate_policies import PolicyResult
    from training.control.closed_loop import Agent
    from training.control.world_dynamics import WorldModelDynamics

DEFAULT_SIZE = 32  # px
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
        description="Compare agents on the same episodes of the push task: random actions, a planner in a "
        "world model, a planner in the true simulator, and the scripted expert. A planner samples sequences "
        "of actions, predicts what they lead to, and applies the first ones of the best. The table has "
        "the number of solved episodes and the Wilson interval of the rate. With --evaluate-policies: "
        "compare the success of policies in the model with the truth. With --learn-policy: learn a policy "
        "that imitates the planner in the model, and one in the true simulator. It needs the extra "
        "`simulation`.",
        epilog="example:\n  clipmill plan-actions --episodes 30 --planner cem --horizon 10 --replan 4\n"
        "  clipmill plan-actions --model /data/push-model --episodes 30\n"
        "  clipmill plan-actions --model /data/push-model --evaluate-policies --episodes 50\n"
        "  clipmill plan-actions --model /data/push-model --learn-policy /data/policies\n"
        "  clipmill plan-actions --planner mppi --candidates 100 --json",
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
    for name, (kind, default, text) in _COUNTS.items():
        parser.add_argument(
            f"--{name}", type=kind, default=default, metavar="N", help=f"{text} (%(default)s)"
        )
    _add_model_options(parser)
    _add_policy_options(parser)
    parser.add_argument(
        "--size", type=size, metavar="PX", help="width and height of images (of the model, or 32)"
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


def _add_model_options(parser: Any) -> None:
    options = parser.add_argument_group("world model")
    options.add_argument(
        "--model", type=Path, metavar="DIR", help="folder or file of a model that reads actions"
    )
    options.add_argument("--tokenizer", default="", help="path of its tokenizer, if it is no longer there")
    options.add_argument(
        "--num-inference-steps",
        type=Range(1).argument(),
        default=1,
        metavar="N",
        help="steps of its sampler; 1 predicts the mean (%(default)s)",
    )
    options.add_argument(
        "--evaluate-policies",
        action="store_true",
        help="compare the success of six policies in the model with the truth",
    )


def _add_policy_options(parser: Any) -> None:
    options = parser.add_argument_group("policies")
    options.add_argument(
        "--learn-policy",
        type=Path,
        metavar="DIR",
        help="learn a policy in the model and one in the true simulator, write them to DIR, and compare them",
    )
    options.add_argument(
        "--policy",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="compare policies of such a DIR too",
    )
    for name, text in (
        ("rounds", "rounds of experience; the policy is trained after each"),
        ("learning-episodes", "episodes in the model of a round"),
    ):
        default = {"rounds": 4, "learning-episodes": 24}[name]
        options.add_argument(
            f"--{name}", type=Range(1).argument(), default=default, metavar="N", help=f"{text} (%(default)s)"
        )


def plan_actions(args: Namespace) -> int:
    """Run the comparison and print its table.

    Raises:
        ClipmillError: An option does not fit another one or the model, or the extra is missing.
    """
    import torch

    from stages.simulation.extra import import_extra

    import_extra("pymunk")
    if args.replan > args.horizon:
        raise ClipmillError(
            f"--replan is {args.replan}, and a plan has {args.horizon} actions",
            remedy="lower --replan, or raise --horizon",
        )
    if args.evaluate_policies and not args.model:
        raise ClipmillError(
            "--evaluate-policies compares a model with the truth", remedy="name a model with --model"
        )
    torch.set_num_threads(1)
    dynamics = None
    if args.model:
        from stages.simulation.control.push_model import open_push_model

        dynamics = open_push_model(args.model, args.tokenizer, args.num_inference_steps)
    size = args.size or (dynamics.size[0] if dynamics else DEFAULT_SIZE)
    comparison = _comparison(args, size)
    policies = _policies(args, comparison, dynamics)
    if args.evaluate_policies:
        assert dynamics is not None
        return _evaluate_policies(comparison, dynamics, policies, args.json)
    return _compare_agents(comparison, dynamics, policies, args.json)


def _policies(
    args: Namespace, comparison: "Comparison", dynamics: "WorldModelDynamics | None"
) -> "dict[str, Agent]":
    """The policies that are compared, by name: those of files, and those that are learned now."""
    from stages.simulation.control.push_policies import learn_push_policy, open_push_policy
    from training.control.imitation import ImitationSettings

    policies: dict[str, Agent] = {f"policy {file.stem}": open_push_policy(file) for file in args.policy}
    if args.learn_policy:
        settings = ImitationSettings(
            rounds=args.rounds,
            episodes=args.learning_episodes,
            steps=args.steps,
            replan=args.replan,
            labels=args.replan,
            seed=args.seed,
        )
        models = {"simulator": None} if dynamics is None else {"model": dynamics, "simulator": None}
        for name, model in models.items():
            file = args.learn_policy / f"{name}.safetensors"
            policies[f"policy learned in {name}"] = learn_push_policy(
                model, comparison.planner, settings, comparison.size, file
            )
    return policies


def _comparison(args: Namespace, size: int) -> "Comparison":
    from stages.simulation.control.compare_agents import Comparison
    from training.control.planner import PlannerSettings

    names = ("horizon", "candidates", "iterations", "elites", "temperature", "seed")
    return Comparison(
        episodes=args.episodes,
        steps=args.steps,
        size=size,
        replan=args.replan,
        planner=PlannerSettings(planner=args.planner, **{name: getattr(args, name) for name in names}),
        seed=args.seed,
    )


def _printer(as_json: bool) -> "Callable[[AgentResult | PolicyResult], None]":
    """Prints the line of a result, unless all results become one JSON object."""

    def print_line(result: "AgentResult | PolicyResult") -> None:
        if not as_json:
            print(result.line(), flush=True)

    return print_line


def _compare_agents(
    comparison: "Comparison",
    dynamics: "WorldModelDynamics | None",
    policies: "dict[str, Agent]",
    as_json: bool,
) -> int:
    from stages.simulation.control.compare_agents import HEADER, compare_agents

    if not as_json:
        print(HEADER)
    models = {} if dynamics is None else {"model": dynamics}
    results = compare_agents(comparison, models, policies, _printer(as_json))
    if as_json:
        print(json.dumps({"settings": asdict(comparison), "agents": [each.to_json() for each in results]}))
    return 0


def _evaluate_policies(
    comparison: "Comparison", dynamics: "WorldModelDynamics", policies: "dict[str, Agent]", as_json: bool
) -> int:
    from stages.simulation.control.evaluate_policies import POLICY_HEADER, evaluate_policies

    if not as_json:
        print(POLICY_HEADER)
    results, agreement = evaluate_policies(comparison, dynamics, policies=policies, report=_printer(as_json))
    if as_json:
        settings = {name: getattr(comparison, name) for name in ("episodes", "steps", "size", "seed")}
        found = [each.to_json() for each in results]
        print(json.dumps({"settings": settings, "policies": found, "agreement": asdict(agreement)}))
    else:
        print(
            f"Pearson {agreement.pearson:.3f} · rank correlation {agreement.spearman:.3f} · bias"
            f" {agreement.bias:+.3f} · mean error {agreement.mean_error:.3f}"
        )
    return 0
