"""What do a training step and its memory cost, compared with diffusers' class of equal size?

    python -m benchmarks.train [--tokens N] [--width W] [--layers L] [--repeats R] [--no-compile] [--json OUT]

Both networks have equal weights and compute the same output, which is checked first. A step is a forward pass
and a backward pass over one clip. Steps of both sides alternate. Time is the median of the
repeats: of CPU time on a CPU. Memory is
the peak of a step above the weights. On a CPU it is the peak resident memory of a process of its own; on a
GPU that of the allocator. A ratio of speed above 1 means that ours is faster, a
ratio of memory below 1 that ours needs less.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.workloads.printing import table, write_json
from training.adapters.diffusers_folder import to_diffusers_config
from training.diffusion.conditioning import Conditioning
from training.networks.config import VideoDiTConfig
from training.networks.video_dit import VideoDiT

GOALS = {"eager": 1.0, "compiled": 1.05}
MEMORY_GOAL = 0.9
TOLERANCE = 1e-3  # of the outputs of both sides, relative to their standard deviation
SIDES = ("ours", "diffusers")
HEAD_DIM = 128
MIB = 2**20


@dataclass(frozen=True)
class Size:
    """The size of both networks and of their input.

    Attributes:
        tokens: Tokens of the clip: 8 frames.
        width: Width of a token, a multiple of 128.
        layers: Transformer blocks.
        text_tokens: Text tokens.
    """

    tokens: int = 2048
    width: int = 768
    layers: int = 4
    text_tokens: int = 128

    def config(self) -> VideoDiTConfig:
        """The network, with the layers of Cosmos-Predict2."""
        return VideoDiTConfig(
            num_attention_heads=self.width // HEAD_DIM,
            attention_head_dim=HEAD_DIM,
            num_layers=self.layers,
            text_embed_dim=1024,
            adaln_lora_dim=256,
            timestep_scale=1.0,
            concat_padding_mask=True,
        )

    def shape(self) -> tuple[int, int, int, int, int]:
        """Latents [b c t h w] of this many tokens."""
        frames = 8
        height = 16
        return 1, 16, frames, 2 * height, 2 * self.tokens // (frames * height)


def build(side: str, size: Size, device: torch.device) -> nn.Module:
    """The network of one side, "ours" or "diffusers", with the same weights."""
    config = size.config()
    ours = VideoDiT(config)
    rng = torch.Generator().manual_seed(0)
    for weight in ours.parameters():
        nn.init.normal_(weight, std=0.1 if weight.dim() == 1 else weight.shape[1] ** -0.5, generator=rng)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if side == "ours":
        return ours.to(device, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import CosmosTransformer3DModel
    theirs: nn.Module = CosmosTransformer3DModel.from_config(to_diffusers_config(config))
    theirs.load_state_dict(ours.state_dict())
    return theirs.to(device, dtype)


def make_step(side: str, network: nn.Module, size: Size, device: torch.device) -> Callable[[], Tensor]:
    """A function that takes one step and returns the output [b c t h w]."""
    rng = torch.Generator().manual_seed(1)
    dtype = next(network.parameters()).dtype
    noisy = torch.randn(size.shape(), generator=rng).to(device, dtype)
    text = torch.randn(1, size.text_tokens, 1024, generator=rng).to(device, dtype)
    timestep = torch.tensor([0.7], device=device)
    padding = torch.zeros(1, 1, *size.shape()[3:], device=device, dtype=dtype)

    def forward() -> Tensor:
        if side == "ours":
            out: Tensor = network(noisy, timestep, Conditioning(text_embeddings=text, padding_mask=padding))
            return out
        theirs: Tensor = network(noisy, timestep, text, padding_mask=padding, return_dict=False)[0]
        return theirs

    def step() -> Tensor:
        network.zero_grad(set_to_none=False)
        out = forward()
        out.float().square().mean().backward()  # type: ignore[no-untyped-call]
        return out.detach()

    return step


def compile_blocks(network: Any) -> None:
    """Compile each transformer block, as the trainer does."""
    for block in network.transformer_blocks:
        block.compile()


def measure_time(size: Size, device: torch.device, repeats: int, is_compiled: bool) -> dict[str, list[float]]:
    """Seconds of each step, by side. Steps alternate, and every other pair is reversed."""
    steps: dict[str, Callable[[], Tensor]] = {}
    for side in SIDES:
        network = build(side, size, device)
        if is_compiled:
            compile_blocks(network)
        steps[side] = make_step(side, network, size, device)
    outputs = [step().float() for step in steps.values()]
    difference = float((outputs[0] - outputs[1]).abs().max() / outputs[1].std())
    if device.type == "cpu" and difference > TOLERANCE:
        raise SystemExit(f"the outputs of both sides differ by {difference:.2g} of their standard deviation")
    for step in steps.values():
        step()
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    seconds: dict[str, list[float]] = {side: [] for side in steps}
    for repeat in range(repeats):
        for side in steps if repeat % 2 == 0 else reversed(steps):
            started = clock()
            steps[side]()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[side].append(clock() - started)
    return seconds


def step_memory(side: str, size: Size) -> int:
    """Bytes that a step needs above the weights, gradients included, in this process."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    small = Size(tokens=256, width=HEAD_DIM, layers=1)
    make_step(side, build(side, small, device), small, device)()  # imports and libraries of a first step
    network = build(side, size, device)
    step = make_step(side, network, size, device)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated() - before
    with open("/proc/self/statm") as file:
        before = int(file.read().split()[1]) * resource.getpagesize()
    step()
    with open("/proc/self/status") as file:  # ru_maxrss would include the parent of this process
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    return peak * 1024 - before


def measure_memory(side: str, size: Size) -> int:
    """`step_memory` in a process of its own."""
    values = {"--tokens": size.tokens, "--width": size.width, "--layers": size.layers}
    arguments = [str(part) for pair in values.items() for part in pair]
    command = [sys.executable, "-m", "benchmarks.train", "--memory-of", side, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser("benchmarks.train", description=__doc__)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true", help="leave the compiled networks out")
    parser.add_argument("--json", help="file for the results")
    parser.add_argument("--memory-of", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.num_threads)
    size = Size(args.tokens, args.width, args.layers)
    if args.memory_of:
        print(step_memory(args.memory_of, size))
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows, results = [], {}
    for mode in ("eager",) if args.no_compile else ("eager", "compiled"):
        seconds = measure_time(size, device, args.repeats, mode == "compiled")
        ours, theirs = (statistics.median(seconds[side]) for side in SIDES)
        ratio = statistics.median(b / a for a, b in zip(*(seconds[side] for side in SIDES), strict=True))
        results[mode] = {"seconds": seconds, "ratio": ratio}
        rows.append(
            [f"step, {mode}", f"{ours:.3f} s", f"{theirs:.3f} s", f"{ratio:.3f}", f">= {GOALS[mode]}"]
        )
    memory = {side: measure_memory(side, size) for side in SIDES}
    ours, theirs = (memory[side] for side in SIDES)
    results["memory"] = {"bytes": memory, "ratio": ours / theirs}
    rows.append(
        ["memory, eager", f"{ours / MIB:.0f} MiB", f"{theirs / MIB:.0f} MiB", f"{ours / theirs:.3f}",
         f"<= {MEMORY_GOAL}"]
    )  # fmt: skip
    print(f"{size.tokens} tokens, width {size.width}, {size.layers} blocks, {device.type}")
    print(table(("", *SIDES, "ratio", "goal"), rows))
    write_json(args.json, results)


if __name__ == "__main__":
    main()
