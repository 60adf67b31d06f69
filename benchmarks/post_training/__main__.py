"""What merging and distillation do to a small model of latents whose distribution is known.

python -m benchmarks.post_training distillation     # a teacher, and its student of 4 steps
python -m benchmarks.post_training merging          # two fine-tunings of a base model, and their soup
python -m benchmarks.post_training reward           # a model of moving discs, before and after GRPO
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.post_training.discs import COLOR, draw_discs, encode_discs
from benchmarks.post_training.mixture import (
    METADATA,
    SHAPE,
    distance_to_modes,
    draw,
    frechet_distance,
    write_latents,
    write_shard,
)
from training.callbacks.loss_curve import read_loss_curve
from training.diffusion.conditioning import Conditioning
from training.diffusion.config import DiffusionConfig
from training.evaluation.evaluate import evaluate
from training.evaluation.world.statistics import Bootstrap
from training.model import MODEL_FILE, ModelInfo, load_model, save_model
from training.networks.config import VideoDiTConfig
from training.noise import normal
from training.recipes.post_training.merge import MergeRequest, merge
from training.recipes.sampling import SamplingRequest, sample
from training.recipes.sampling_steps import choose_steps
from training.recipes.world import train
from training.rewards.registry import build_reward
from training.world_model import WorldModel

SETTINGS: dict[str, Any] = {
    "text_encoder": "none",
    "num_threads": 1,
    "quiet": True,
    "checkpoint_interval": 100_000,
    "lr_schedule": "linear",
    "warmup_steps": 20,
}


def write_network(folder: Path, metadata: Mapping[str, Any] = METADATA) -> Path:
    """A model file with random weights of a network that is smaller than all of those with a name."""
    shape = tuple(metadata["shape"])
    network = VideoDiTConfig(
        num_attention_heads=4,
        attention_head_dim=24,
        num_layers=3,
        channels=shape[0],
        text_embed_dim=16,
        adaln_lora_dim=16,
        timestep_scale=100.0,
        mask_text=True,
    )
    latents = {
        "tokenizer": metadata["tokenizer"],
        "digest": metadata["tokenizer_digest"],
        "stride": metadata["stride"],
        "channels": shape[0],
        "dtype": metadata["dtype"],
    }
    diffusion, none = DiffusionConfig(), {"name": "none"}
    info = ModelInfo(network, diffusion, none, 1.0, latents, metadata["fps"], [shape], {"steps": 0})
    save_model(folder / MODEL_FILE, WorldModel(network, diffusion, "none").state_dict(), info)
    return folder


def train_teacher(work: Path, steps: int, batch_size: int) -> Path:
    """A model of the mixture; returns its folder."""
    data = write_shard(work / "shards", 4000, seed=1)
    own = {"data": data, "steps": steps, "batch_size": batch_size, "lr": 3e-3}
    train({**SETTINGS, **own, "init_from": str(write_network(work / "random"))}, work / "teacher")
    return work / "teacher"


@torch.inference_mode()
def sample_model(model: Path, count: int, sampler: str = "", steps: int = 0) -> Tensor:
    """Latents [count c t h w] from the same noise for every model."""
    world, info = load_model(model)
    path = world.denoiser.path
    chosen = choose_steps(path, info.distillation, sampler=sampler, num_inference_steps=steps)
    noise = normal(0, "benchmark", range(count), SHAPE)
    conditioning = Conditioning(fps=torch.full((count,), info.fps))
    return chosen.sampler(world.denoiser, path, noise, conditioning, chosen.timesteps)


def measure_distillation(work: Path, args: argparse.Namespace) -> None:
    """Print the samples of a teacher and of its students against the mixture and the teacher."""
    teacher = train_teacher(work, args.steps, args.batch_size)
    data = [(str(work / "shards" / "000000.tar"), str(work / "shards" / "000000.parquet"))]
    for steps in args.students:
        own = {"data": data, "init_from": str(teacher), "distillation": "trajectory", "lr": 1e-3}
        own |= {"distillation_steps": steps, "distillation_teacher_steps": max(1, 16 // steps)}
        own |= {"steps": args.student_steps, "batch_size": args.batch_size}
        train({**SETTINGS, **own}, work / f"student-{steps}")
    print_samples(work, args.students, args.samples)


def print_samples(work: Path, students: Sequence[int], count: int) -> None:
    """Print how far samples of the teacher and the students are from the mixture and from the teacher."""
    print(f"{'model':26}{'Frechet':>9}{'to nearest mode':>17}{'mode share':>12}{'to reference':>14}")
    reference = None

    def print_row(name: str, samples: Tensor) -> None:
        distance, share = distance_to_modes(samples)
        text = ""
        if reference is not None:
            text = f"{float((samples - reference).square().mean().sqrt()):14.3f}"
        print(f"{name:26}{frechet_distance(samples):9.3f}{distance:17.3f}{share:12.3f}{text}", flush=True)

    print_row("mixture itself", draw(count, seed=99))
    reference = sample_model(work / "teacher", count, "heun", 32)
    print_row("teacher, 32 steps of heun", reference)
    print_row("teacher, 35 steps", sample_model(work / "teacher", count, "euler", 35))
    for steps in students:
        print_row(f"teacher, {steps} steps", sample_model(work / "teacher", count, "euler", steps))
        print_row(f"student, {steps} steps", sample_model(work / f"student-{steps}", count))


def measure_merging(work: Path, args: argparse.Namespace) -> None:
    """Print the held-out losses of a base model, of two fine-tunings of it, and of their merges."""
    print_merges(work, train_teacher(work, args.steps, args.batch_size), args)


def print_merges(work: Path, base: Path, args: argparse.Namespace) -> None:
    """Fine-tune a base model of the mixture on either half of the modes, and print the losses."""
    held_out = write_shard(work / "held-out", 512, seed=2)
    models = {"base": base}
    for name, modes in (("modes 0 to 3", range(4)), ("modes 4 to 7", range(4, 8))):
        data = write_shard(work / f"data-{modes.start}", 2000, seed=3 + modes.start, modes=modes)
        own = {"data": data, "init_from": str(base), "steps": args.student_steps}
        models[name] = work / f"tuned-{modes.start}"
        train({**SETTINGS, **own, "batch_size": args.batch_size, "lr": 3e-4}, models[name])
    tuned = [models["modes 0 to 3"], models["modes 4 to 7"]]
    for method in ("soup", "ties", "dare"):
        models[method] = work / method
        merge(
            MergeRequest(models=tuned, method=method, base=None if method == "soup" else base), models[method]
        )
    print(f"{'model':16}{'loss on all modes':>18}")
    for name, model in models.items():
        loss = evaluate(model, held_out, max_clips=512, batch_size=64, num_threads=1).loss
        print(f"{name:16}{loss:18.4f}", flush=True)


def measure_reward(work: Path, args: argparse.Namespace) -> None:
    """Print the reward of videos, and the held-out loss, of a base model and of fine-tunings of it."""
    latents, metadata = encode_discs(draw_discs(1024, seed=1))
    data = write_latents(work / "discs", latents, metadata, 1)
    held_out = write_latents(work / "held-out", encode_discs(draw_discs(256, seed=2))[0], metadata, 2)
    random = str(write_network(work / "random", metadata))
    own = {"data": data, "steps": args.steps, "batch_size": args.batch_size, "lr": 3e-3, "init_from": random}
    train({**SETTINGS, **own}, work / "base")
    models = {"base": work / "base"}
    for weight in args.denoising_weights:
        own = {"data": data, "init_from": str(work / "base"), "steps": args.student_steps, "batch_size": 4}
        own |= {"reward": "goal_distance", "reward_color": COLOR, "reward_goal": (0.5, 0.5), "lr": 3e-4}
        own |= {"grpo_denoising_weight": weight, "ema": "none", "lr_schedule": "constant"}
        models[f"GRPO, denoising weight {weight:g}"] = work / f"tuned-{weight:g}"
        train({**SETTINGS, **own}, models[f"GRPO, denoising weight {weight:g}"])
    reward, count = build_reward("goal_distance", COLOR, (0.5, 0.5)), args.samples
    bootstrap = Bootstrap(tuple(map(str, range(count))))
    print(f"{'model':32}{'reward':>8}{'95 %':>20}{'found':>7}{'held-out loss':>15}")
    rows = {"held-out clips": draw_discs(count, seed=3)}
    for name, model in models.items():
        chunks = [
            sample(model, SamplingRequest(prompt=[""] * 64, sampler="euler", seed=seed, num_threads=1)).videos
            for seed in range(1000, 1000 + count // 64)
        ]
        rows[name] = np.concatenate(chunks)
    for name, videos in rows.items():
        scores = reward(videos, None)
        estimate = bootstrap.estimate({str(n): float(score) for n, score in enumerate(scores)})
        found = float((scores > -1).mean())
        loss = ""
        if name in models:
            loss = f"{evaluate(models[name], held_out, batch_size=64, num_threads=1).loss:15.4f}"
        interval = f"{estimate.low:.3f} to {estimate.high:.3f}"
        print(f"{name:32}{estimate.mean:8.3f}{interval:>20}{found:7.2f}{loss}", flush=True)
    for name, model in list(models.items())[1:]:
        lines = read_loss_curve(model / "curve.jsonl")
        shown = ", ".join(f"{line['reward']:.3f}" for line in lines[:: max(1, len(lines) // 10)])
        clipped = sum(line["clipped_share"] for line in lines) / len(lines)
        print(f"{name}: reward in training {shown}; clipped share {clipped:.2f}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subject", choices=("distillation", "merging", "reward"))
    parser.add_argument("--steps", type=int, default=500, help="steps of the first model (%(default)s)")
    parser.add_argument("--student-steps", type=int, default=300, help="steps after it (%(default)s)")
    parser.add_argument("--students", type=int, nargs="+", default=[4], help="steps to sample in")
    parser.add_argument("--batch-size", type=int, default=64, help="clips per step (%(default)s)")
    parser.add_argument("--samples", type=int, default=1024, help="samples of each model (%(default)s)")
    parser.add_argument("--denoising-weights", type=float, nargs="+", default=[0.05], help="of GRPO")
    args = parser.parse_args()
    measures = {
        "distillation": measure_distillation,
        "merging": measure_merging,
        "reward": measure_reward,
    }
    with tempfile.TemporaryDirectory() as work:
        torch.set_num_threads(1)
        measures[args.subject](Path(work), args)


if __name__ == "__main__":
    main()
