"""Runs on two ranks: shards are written; one rank cannot write; a file is damaged. Prints the errors of both.

checkpoint_ranks.py FOLDER    (weights.safetensors beside it gets the gathered weights)
"""

import json
import resource
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from training.adapters.safetensors_writer import write_safetensors
from training.errors import CheckpointError
from training.loop.checkpoint import CheckpointManager
from training.parallel.mesh import process_group


def of_all_ranks(value: object) -> list[object]:
    values: list[object] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


with process_group():
    mesh = init_device_mesh("cpu", (2,))
    weight = distribute_tensor(torch.arange(20_000.0), mesh, [Shard(0)])
    checkpoints = CheckpointManager(Path(sys.argv[1]), {}, is_async=True)
    checkpoints.save(1, {"w": weight})
    checkpoints.wait()
    file = checkpoints.folder.with_name("weights.safetensors")
    write_safetensors(file, {"w": weight}, {}, is_writer=dist.get_rank() == 0)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    if dist.get_rank() == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    results = []
    try:
        checkpoints.save(2, {"w": weight})
        checkpoints.wait()
    except CheckpointError as error:
        results.append(of_all_ranks(str(error)))
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    read = {"w": distribute_tensor(torch.zeros(20_000), mesh, [Shard(0)])}
    checkpoints.load(1, read)
    assert torch.equal(read["w"].to_local(), weight.to_local())
    place = checkpoints.folder / "step-00000001"
    dist.barrier()
    if dist.get_rank() == 0:
        with (place / "__1_0.distcp").open("r+b") as file:
            file.seek(1000)
            file.write(b"damage")
    dist.barrier()
    try:
        checkpoints.load(1, read)
    except CheckpointError as error:
        results.append(of_all_ranks(str(error)))
    print(json.dumps([*results, sorted(file.name for file in place.iterdir())]))
