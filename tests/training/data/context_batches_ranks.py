"""Runs on each of 2 context ranks: batches of good shards, then of shards with a bad clip."""

import json
import sys

import torch
import torch.distributed as dist

from training.data.batches import BatchLoader
from training.data.context_batches import ContextBatches
from training.data.order import SampleOrder
from training.data.shards import LatentShards
from training.errors import TrainingError
from training.parallel.mesh import process_group

with process_group():
    assert dist.group.WORLD is not None
    good, bad = (LatentShards([tuple(pair) for pair in pairs]) for pairs in json.loads(sys.argv[1]))
    order = SampleOrder(good.counts, 2)
    batches = ContextBatches(BatchLoader(good, order), dist.group.WORLD)
    reads = 0
    equal = True
    for step in range(3):
        got, expected = batches.microbatches(step)[0], BatchLoader(good, order).read(step)[0]
        equal &= got[:2] == expected[:2] and got.captions == expected.captions
        equal &= torch.equal(got.latents, expected.latents)
        assert got.conditioning.fps is not None
        assert expected.conditioning.fps is not None
        equal &= torch.equal(got.conditioning.fps, expected.conditioning.fps)
        reads += batches.loader.waited_s > 0
    batches.close()
    error = ""
    try:
        ContextBatches(BatchLoader(bad, SampleOrder(bad.counts, 2)), dist.group.WORLD).microbatches(0)
    except TrainingError as caught:
        error = f"{type(caught).__name__}: {caught}"
    gathered: list[tuple[bool, int, str]] = [(False, 0, "")] * 2
    dist.all_gather_object(gathered, (equal, reads, error))
    equals, counts, errors = zip(*gathered, strict=True)
    print(json.dumps({"equal": all(equals), "reads": counts, "errors": errors}))
