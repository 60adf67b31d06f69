"""Runs two trainings given as JSON, and prints the peak resident bytes that the second one adds."""

import json
import resource
import sys
from pathlib import Path

from training.recipes.world import train

small, large, work = json.loads(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
train(small, work / "small")  # imports and libraries of a first training
with open("/proc/self/statm") as file:
    before = int(file.read().split()[1]) * resource.getpagesize()
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts again
train(large, work / "large")
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
print(peak - before)
