"""Trains a causal tokenizer; the bundled one was made so, see training/LOG.md.

    python -m training.tokenizers.train FRAMES --held-out FRAMES --out FILE [--steps 3000]

FRAMES is a folder of arrays as `training.tokenizers.frames` writes them. Training starts from the principal
components of the patches; held-out PSNR and SSIM are printed beside those of the linear tokenizers.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from training.loop.ema import EMA
from training.metrics.image_quality import psnr, ssim
from training.objectives.reconstruction import Reconstruction
from training.tensors import Video
from training.tokenizers.causal import Architecture, CausalTokenizer
from training.tokenizers.crops import Crops, held_out
from training.tokenizers.linear import Linear, moments, principal, truncated_haar
from training.tokenizers.weights import load, save, told

VIEWS = {  # how held-out films are looked at: short side in pixels, frames, source frames per frame
    "small": {"short_side": 128, "frames": 33, "pace": 2},
    "large": {"short_side": 256, "frames": 17, "pace": 1},
}


def start(tokenizer: CausalTokenizer, linear: Linear) -> None:
    """Make the linear halves the projection and its inverse; the latents are then of unit variance."""
    with torch.no_grad():
        into, back = tokenizer.encoder.linear, tokenizer.decoder.linear
        into.weight.copy_(linear.basis[:, :, None, None])
        into.bias.copy_(-linear.basis @ linear.mean)
        back.weight.copy_(linear.basis.T[:, :, None, None])
        back.bias.copy_(linear.mean)
        tokenizer.encoder.out.bias.zero_()
        tokenizer.decoder.out.bias.zero_()
        tokenizer.latent_std.copy_(linear.deviations)


@torch.no_grad()
def settle(tokenizer: CausalTokenizer, videos: list[Video]) -> None:
    """Measure the latents' mean and deviation anew. What is decoded stays what it was."""
    latents = torch.cat([tokenizer.encode(v).transpose(0, 1).flatten(1) for v in videos], 1)  # [c n]
    tokenizer.latent_mean.add_(latents.mean(1) * tokenizer.latent_std)
    tokenizer.latent_std.mul_(latents.std(1))


@torch.no_grad()
def measured(there_and_back: Callable[[Video], Video], folder: Path) -> dict[str, dict[str, float]]:
    """Mean PSNR (dB) and SSIM over the films of a folder, in each view."""
    results: dict[str, dict[str, float]] = {}
    for view, seen in VIEWS.items():
        each = []
        for _, video in held_out(folder, **seen):
            back = there_and_back(video)
            each.append((float(psnr(back, video)), float(ssim(back, video))))
        dbs, likes = zip(*each, strict=True)
        results[view] = {"psnr_db": round(sum(dbs) / len(dbs), 2), "ssim": round(sum(likes) / len(likes), 4)}
    return results


def train(asked: argparse.Namespace) -> None:
    """Take the steps; write the weights averaged over them every `save_every` steps and at the end."""
    torch.manual_seed(asked.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    crops = Crops(asked.frames_folder, size=asked.size, frames=asked.frames, seed=asked.seed)
    sample = [crops.batch(asked.steps + k, 4) for k in range(asked.sample)]
    tokenizer = load(str(asked.start)) if asked.start else CausalTokenizer(Architecture(width=asked.width))
    covariance, mean = moments(sample, tokenizer.stride)
    linears = {make.__name__: make(covariance, mean, tokenizer.channels, tokenizer.stride) for make in LINEAR}
    if not asked.start:
        start(tokenizer, linears["principal"])
    tokenizer.to(device).train().requires_grad_(True)
    results = {name: measured(linear.there_and_back, asked.held_out) for name, linear in linears.items()}
    print(json.dumps(results), flush=True)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), betas=(0.9, 0.99), weight_decay=0.0)
    average = EMA(tokenizer, 0.05)
    objective = Reconstruction(tokenizer)
    began = time.perf_counter()
    for step, batch in _ahead(crops, asked.steps, asked.batch):
        for group in optimizer.param_groups:
            group["lr"] = asked.rate * _rate(step, asked.steps)
        with torch.autocast(device.type, torch.bfloat16):
            loss = objective(batch.to(device), step)
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        norm = torch.nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimizer.step()
        average.after_step(step + 1)
        if step % 50 == 0:
            db = 10 * math.log10(4 / float(loss.parts["mse"]))
            line = {"step": step, "loss": float(loss.total.detach()), "psnr_db": db, "norm": float(norm)}
            print(json.dumps(line | {"s": round(time.perf_counter() - began, 1)}), flush=True)
        if (step + 1) % asked.save_every == 0 or step + 1 == asked.steps:
            done = _averaged(tokenizer, average)
            settle(done, sample)
            results["trained"] = measured(lambda v, done=done: done.decode(done.encode(v)), asked.held_out)
            took = time.perf_counter() - began
            save(done, asked.out, _record(asked, step + 1, results, took, device))
            print(json.dumps({"step": step + 1, **results["trained"], "s": round(took, 1)}), flush=True)


LINEAR = (truncated_haar, principal)


def _averaged(tokenizer: CausalTokenizer, average: EMA) -> CausalTokenizer:
    done = CausalTokenizer(tokenizer.architecture)
    done.load_state_dict({k: v.cpu() for k, v in (tokenizer.state_dict() | average.weights).items()})
    return done.eval()


def _ahead(crops: Crops, steps: int, count: int) -> Iterator[tuple[int, Video]]:
    """(step, batch), the next batch being cut in a thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(crops.batch, 0, count)
        for step in range(steps):
            batch = coming.result()
            coming = pool.submit(crops.batch, step + 1, count)
            yield step, batch


def _rate(step: int, steps: int, warm: int = 100) -> float:
    """Rises over the first steps, then falls along a cosine to nothing."""
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _record(
    asked: argparse.Namespace, steps: int, results: dict[str, Any], took_s: float, device: torch.device
) -> dict[str, Any]:
    """What the file tells of how it was made."""
    before = told(asked.start.read_bytes(), asked.start)["trained"] if asked.start else None
    names = sorted({path.name.rsplit(".", 2)[0] for path in asked.frames_folder.glob("*.npy")})
    held = sorted({path.name.rsplit(".", 2)[0] for path in asked.held_out.glob("*.npy")})
    settings = {k: v for k, v in vars(asked).items() if isinstance(v, int | float)}
    return {
        "data": names,
        "held_out": held,
        "settings": settings | {"steps_done": steps},
        "results": results,
        "took_s": round(took_s),
        "device": device.type,
        "torch": torch.__version__,
        "before": before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frames_folder", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights to go on from, in place of principal components")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128, help="of a crop, pixels (%(default)s)")
    parser.add_argument("--frames", type=int, default=17, help="of a crop (%(default)s)")
    parser.add_argument("--width", type=int, default=128, help="channels of the networks (%(default)s)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (%(default)s)")
    parser.add_argument("--sample", type=int, default=60, help="batches of 4 that moments are taken of")
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
