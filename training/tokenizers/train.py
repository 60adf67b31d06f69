"""Trains a causal tokenizer; training/LOG.md describes the training of the bundled one.

    python -m training.tokenizers.train FRAMES --held-out FRAMES --out FILE [--steps 3000]

FRAMES is a folder of arrays that `training.tokenizers.frames` wrote. Training starts from the principal
components of the patches. The command prints held-out PSNR and SSIM, next to those of the linear tokenizers.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from training.loop.ema import EMA
from training.metrics.image_quality import psnr, ssim
from training.objectives.reconstruction import Reconstruction
from training.tensors import Video
from training.tokenizers.crops import RandomCrops, held_out_clips
from training.tokenizers.linear import LinearTokenizer, patch_moments, principal, truncated_haar
from training.tokenizers.patch import PatchTokenizer, PatchTokenizerConfig
from training.tokenizers.weights import load_weights, read_metadata, save_weights

VIEWS = {  # how held-out clips are scaled: short side in px, frames, source frames per frame
    "small": {"short_side": 128, "frames": 33, "frame_step": 2},
    "large": {"short_side": 256, "frames": 17, "frame_step": 1},
}
BASELINES = (truncated_haar, principal)


def init_from_linear(tokenizer: PatchTokenizer, linear: LinearTokenizer) -> None:
    """Set the linear layers to the projection and its inverse, so that latents have unit variance.

    Of a discrete tokenizer the values before quantization have unit variance.
    """
    with torch.no_grad():
        basis, mean = linear.basis, linear.mean
        if tokenizer.codebook_size:
            basis = basis / linear.std[:, None]
        for layer, weight, bias in (
            (tokenizer.encoder.linear, basis, -basis @ mean),
            (tokenizer.decoder.linear, linear.basis.T * (linear.std if tokenizer.codebook_size else 1), mean),
        ):
            assert layer.bias is not None
            layer.weight.copy_(weight[:, :, None, None])
            layer.bias.copy_(bias)
        for layer in (tokenizer.encoder.out, tokenizer.decoder.out):
            assert layer.bias is not None
            layer.bias.zero_()
        if not tokenizer.codebook_size:
            tokenizer.latent_std.copy_(linear.std[:, None])


@torch.no_grad()
def update_latent_moments(tokenizer: PatchTokenizer, videos: list[Video]) -> None:
    """Measure mean and standard deviation of the latents again. Decoded videos do not change.

    A discrete tokenizer has none.
    """
    if tokenizer.codebook_size:
        return
    latents = torch.cat([tokenizer.encode(v).transpose(0, 1).flatten(1) for v in videos], 1)  # [c n]
    tokenizer.latent_mean.add_(latents.mean(1)[:, None] * tokenizer.latent_std)
    tokenizer.latent_std.mul_(latents.std(1)[:, None])


@torch.no_grad()
def evaluate(reconstruct: Callable[[Video], Video], folder: Path) -> dict[str, dict[str, float]]:
    """Mean PSNR (dB) and SSIM over the clips of a folder, in each view."""
    results: dict[str, dict[str, float]] = {}
    for name, view in VIEWS.items():
        scores = []
        for _, video in held_out_clips(folder, **view):
            reconstruction = reconstruct(video)
            scores.append((float(psnr(reconstruction, video)), float(ssim(reconstruction, video))))
        psnrs, ssims = zip(*scores, strict=True)
        results[name] = {
            "psnr_db": round(sum(psnrs) / len(psnrs), 2),
            "ssim": round(sum(ssims) / len(ssims), 4),
        }
    return results


def train(args: argparse.Namespace) -> None:
    """Train; write the EMA weights every `checkpoint_interval` steps and at the end."""
    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    crops = RandomCrops(args.frames_folder, size=args.size, frames=args.frames, seed=args.seed)
    sample = [crops.batch(args.steps + k, 4) for k in range(args.sample)]
    levels = tuple(args.levels)
    channels = len(levels) or PatchTokenizerConfig.channels
    tokenizer = PatchTokenizer(PatchTokenizerConfig(width=args.width, channels=channels, levels=levels))
    if args.start:
        started_from = load_weights(str(args.start))
        if not isinstance(started_from, PatchTokenizer):
            raise SystemExit(
                f"--start {args.start} is not a patch tokenizer, and only these are trained here"
            )
        tokenizer = started_from
    moments = patch_moments(sample, tokenizer.stride)
    baselines = {fit.__name__: fit(*moments, tokenizer.channels, tokenizer.stride) for fit in BASELINES}
    if not args.start:
        init_from_linear(tokenizer, baselines["principal"])
    tokenizer.to(device).train().requires_grad_(True)
    results = {name: evaluate(linear.reconstruct, args.held_out) for name, linear in baselines.items()}
    print(json.dumps(results), flush=True)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), betas=(0.9, 0.99), weight_decay=0.0)
    ema = EMA(tokenizer, 0.05)
    objective = Reconstruction(tokenizer)
    started = time.perf_counter()
    for step, batch in _prefetch(crops, args.steps, args.batch_size):
        for group in optimizer.param_groups:
            group["lr"] = args.lr * _lr_factor(step, args.steps)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.precision == "bf16"):
            loss = objective(batch.to(device), step)
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        grad_norm = torch.nn.utils.clip_grad_norm_(tokenizer.parameters(), 1.0)
        optimizer.step()
        ema.update(step + 1)
        if step % 50 == 0:
            db = 10 * math.log10(4 / float(loss.parts["mse"]))
            line = {"step": step, "loss": float(loss.total.detach()), "psnr_db": db}
            line |= {"grad_norm": float(grad_norm), "elapsed_s": round(time.perf_counter() - started, 1)}
            print(json.dumps(line), flush=True)
        if (step + 1) % args.checkpoint_interval == 0 or step + 1 == args.steps:
            averaged = _ema_tokenizer(tokenizer, ema)
            update_latent_moments(averaged, sample)
            results["trained"] = evaluate(partial(_reconstruct, averaged), args.held_out)
            elapsed_s = time.perf_counter() - started
            save_weights(averaged, args.out, _record(args, step + 1, results, elapsed_s, device))
            summary = {"step": step + 1, **results["trained"], "elapsed_s": round(elapsed_s, 1)}
            print(json.dumps(summary), flush=True)


def _reconstruct(tokenizer: PatchTokenizer, video: Video) -> Video:
    return tokenizer.decode(tokenizer.encode(video))


def _ema_tokenizer(tokenizer: PatchTokenizer, ema: EMA) -> PatchTokenizer:
    averaged = PatchTokenizer(tokenizer.config)
    averaged.load_state_dict({k: v.cpu() for k, v in (tokenizer.state_dict() | ema.weights).items()})
    return averaged.eval()


def _prefetch(crops: RandomCrops, steps: int, batch_size: int) -> Iterator[tuple[int, Video]]:
    """(step, batch); a thread prepares the next batch."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(crops.batch, 0, batch_size)
        for step in range(steps):
            batch = pending.result()
            pending = pool.submit(crops.batch, step + 1, batch_size)
            yield step, batch


def _lr_factor(step: int, steps: int, warmup_steps: int = 100) -> float:
    """A linear warmup, then a cosine decay to zero."""
    return min(1.0, (step + 1) / warmup_steps) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _record(
    args: argparse.Namespace, steps: int, results: dict[str, Any], elapsed_s: float, device: torch.device
) -> dict[str, Any]:
    """How the tokenizer was trained, for the metadata of its file."""
    before = read_metadata(args.start.read_bytes(), args.start)["trained"] if args.start else None
    names = sorted({path.name.rsplit(".", 2)[0] for path in args.frames_folder.glob("*.npy")})
    held_out = sorted({path.name.rsplit(".", 2)[0] for path in args.held_out.glob("*.npy")})
    settings = {k: v for k, v in vars(args).items() if isinstance(v, int | float | list)}
    return {
        "data": names,
        "held_out": held_out,
        "settings": settings | {"steps_done": steps},
        "results": results,
        "took_s": round(elapsed_s),
        "device": device.type,
        "torch": torch.__version__,
        "before": before,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("frames_folder", type=Path, help="frames to train on")
    add("--held-out", type=Path, required=True, help="frames to evaluate on")
    add("--out", type=Path, required=True, help="safetensors file to write")
    add("--start", type=Path, help="weights to start from, in place of principal components")
    add("--steps", type=int, default=3000, help="training steps (%(default)s)")
    add("--batch-size", type=int, default=8, help="crops per step (%(default)s)")
    add("--size", type=int, default=128, help="side of a crop in px (%(default)s)")
    add("--frames", type=int, default=17, help="frames of a crop (%(default)s)")
    add("--width", type=int, default=128, help="channels of the networks (%(default)s)")
    add("--levels", type=int, nargs="+", default=[], help="levels of a discrete tokenizer, one per channel")
    add("--precision", choices=("fp32", "bf16"), default="bf16", help="type of the activations (%(default)s)")
    add("--lr", type=float, default=1e-3, help="peak learning rate (%(default)s)")
    add("--sample", type=int, default=60, help="batches of 4 crops to measure moments on (%(default)s)")
    add("--checkpoint-interval", type=int, default=500, help="steps between files (%(default)s)")
    add("--seed", type=int, default=0, help="seed of weights and crops (%(default)s)")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
