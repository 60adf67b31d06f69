"""Runs launches with Ray Train, which places the ranks and gives each its rank number."""

import os
import traceback
from typing import Any

import ray

from manifests.errors import ClipmillError
from pipeline.engine.steps.launch import work_folder
from pipeline.engine.task import Task, TaskResult
from pipeline.engine.worker import Worker
from pipeline.executors.on_ray.nodes import live_nodes
from pipeline.executors.on_ray.pool import TaskFailure
from pipeline.executors.ranks import free_port
from pipeline.planning.plan import Plan


def start_launch(plan: Plan, plan_ref: Any, task: Task) -> Any:
    """Start the program of a launch. Returns the Ray object reference of its `TaskResult`."""
    return ray.remote(_launch).options(num_cpus=0, max_retries=0).remote(plan_ref, task)


def _launch(plan: Plan, task: Task) -> TaskResult | TaskFailure:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import (
        DataParallelTrainer,
    )  # TorchTrainer's base, without torch

    step = plan[task.step]
    needs = step.node.needs
    cores = sum(int(node.cpus) for node in live_nodes().values())
    share = min(1.0, needs.cpus) if needs.ranks <= cores else 0.01  # with too few cores, ranks share them
    resources = {"CPU": share, **({"GPU": needs.gpus} if needs.gpus else {})}
    trainer = DataParallelTrainer(
        _rank,
        train_loop_config={"plan": plan, "task": task},
        scaling_config=ScalingConfig(
            num_workers=needs.ranks, use_gpu=bool(needs.gpus), resources_per_worker=resources
        ),
        run_config=RunConfig(name="ray_train", storage_path=str(work_folder(plan, step))),
    )
    try:
        trainer.fit()
        return Worker(plan).run(task)  # the row is committed: this only reads its row counts
    except ClipmillError as error:
        return TaskFailure(error, traceback.format_exc())


def _rank(config: dict[str, Any]) -> None:
    """Run one rank: set the environment variables of torchrun, then run the task."""
    from ray.train import get_context
    from ray.train.collective import broadcast_from_rank_zero

    context = get_context()
    address = str(ray.util.get_node_ip_address())
    rendezvous = broadcast_from_rank_zero({"MASTER_ADDR": address, "MASTER_PORT": str(free_port(address))})
    os.environ.update(
        **rendezvous,
        RANK=str(context.get_world_rank()),
        LOCAL_RANK=str(context.get_local_rank()),
        WORLD_SIZE=str(context.get_world_size()),
        LOCAL_WORLD_SIZE=str(context.get_local_world_size()),
    )
    Worker(config["plan"]).run(config["task"])
