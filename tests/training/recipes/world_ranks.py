"""Run on each of some ranks: trainings told as JSON {work, …knobs}; prints losses and gradients' norms."""

import json
import sys
from pathlib import Path

from training.callbacks.loss_curve import read_curve
from training.parallel.mesh import process_group
from training.recipes.world import run

with process_group():
    said = []
    for text in sys.argv[1:]:
        told = json.loads(text)
        summary = run(told, Path(told.pop("work")))
        said.append([(line["loss"], line["grad_norm"]) for line in read_curve(summary.curve)])
    print(json.dumps(said))
