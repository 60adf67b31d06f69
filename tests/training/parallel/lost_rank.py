"""Runs on each rank: rank 1 ends without a word, and the other one says what it sees."""

import os

import torch
import torch.distributed as dist

from training.errors import LostRankError
from training.parallel.mesh import process_group

try:
    with process_group():
        dist.barrier()
        if dist.get_rank() == 1:
            os._exit(0)
        for _ in range(2):
            dist.all_reduce(torch.zeros(3))
except LostRankError as error:
    print(error)
