"""How good and fast are the tokenizers, compared with AutoencoderKLCosmos and AutoencoderKLWan of diffusers?

    python -m benchmarks.tokenizer DIR [--threads 1] [--frames 17] [--size 256] [--repeats 3] [--json OUT]

DIR has videos that no tokenizer was trained on. The first table has the quality of the bundled pair on them,
as `clipmill evaluate tokenizer` measures it. The second has the time of all networks on one video of
`frames` x `size` x `size` px, with random weights where none are bundled. CV8x8x8 and AutoencoderKLCosmos
have the same weights, and their latents must agree. AutoencoderKLWan is another architecture: 4x8x8, with 15
times the operations. The networks take turns. Times are medians of the repeats: of CPU time on one thread of
a CPU, else of wall time. Ratios are medians of the ratios of each turn; above 1, the network is faster than
AutoencoderKLCosmos.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.workloads.printing import table, write_json
from training.evaluation.tokenizer_report import evaluate_tokenizers
from training.tokenizers import load_tokenizer
from training.tokenizers.cosmos.config import CONFIGS, CosmosTokenizerConfig
from training.tokenizers.cosmos.tokenizer import CosmosTokenizer
from training.tokenizers.weights import BUNDLED

OURS, COSMOS, WAN = "CV8x8x8", "AutoencoderKLCosmos", "AutoencoderKLWan"
GOAL = 1.1  # ratio of the encoding speed of CV8x8x8
TOLERANCE = 1e-5  # of its latents


@dataclass
class Network:
    """A network whose time is measured.

    Attributes:
        turns: Turns that it takes part in.
        encode_s, decode_s: Seconds of each turn.
    """

    module: nn.Module
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]
    turns: int
    encode_s: list[float] = field(default_factory=list)
    decode_s: list[float] = field(default_factory=list)


def build_cosmos(config: CosmosTokenizerConfig, turns: int, device: torch.device) -> dict[str, Network]:
    """Our network and diffusers', with the same random weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import AutoencoderKLCosmos
    torch.manual_seed(0)
    ours = CosmosTokenizer(config).eval().to(device)
    theirs: Any = AutoencoderKLCosmos(  # type: ignore[no-untyped-call]
        latent_channels=config.latent_channels,
        encoder_block_out_channels=config.encoder_block_out_channels,
        decode_block_out_channels=config.decode_block_out_channels,
        num_layers=config.num_layers,
        patch_size=config.patch_size,
        spatial_compression_ratio=config.spatial_compression_ratio,
        temporal_compression_ratio=config.temporal_compression_ratio,
    )
    weights = ours.state_dict()
    theirs.load_state_dict({name: weights[name] for name in theirs.state_dict()})
    return {
        OURS: Network(ours, ours.encode, ours.decode, turns),
        COSMOS: _diffusers(theirs, turns, device),
    }


def build_wan(turns: int, device: torch.device) -> Network:
    """AutoencoderKLWan with random weights of its default config."""
    from diffusers import AutoencoderKLWan

    return _diffusers(AutoencoderKLWan(), turns, device)  # type: ignore[no-untyped-call]


def _diffusers(module: Any, turns: int, device: torch.device) -> Network:
    module = module.eval().to(device)
    return Network(
        module,
        lambda video: module.encode(video).latent_dist.mode(),
        lambda latents: module.decode(latents).sample,
        turns,
    )


@torch.inference_mode()
def measure(networks: dict[str, Network], video: Tensor, repeats: int) -> dict[str, float]:
    """Time the networks in turns; every other turn is reversed. A first turn that does not count warms up.

    Returns:
        The maximum difference of the latents of our network and diffusers', and that of the decoded videos
        relative to their maximum.
    """
    results: dict[str, tuple[Tensor, Tensor]] = {}
    for turn in range(-1, repeats):
        for name in networks if turn % 2 else reversed(networks):
            network = networks[name]
            if turn < 0:  # a single frame, unless the answer is compared
                frames = video if name in (OURS, COSMOS) else video[:, :, :1]
                latents = network.encode(frames)
                results[name] = latents, network.decode(latents)
            elif turn < network.turns:
                latents = _timed(network.encode, video, network.encode_s)
                _timed(network.decode, latents, network.decode_s)
    ours, theirs = results[OURS], results[COSMOS]
    latent_error, error = (float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    return {"latents": latent_error, "decoded": error / float(theirs[1].abs().max())}


def _timed(function: Callable[[Tensor], Tensor], x: Tensor, seconds: list[float]) -> Tensor:
    clock = (
        time.process_time if x.device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    )
    started = clock()
    result = function(x)
    if x.device.type == "cuda":
        torch.cuda.synchronize()
    seconds.append(clock() - started)
    return result


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """The median of the ratios of the turns in which both took part."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=False))


def summarize(networks: dict[str, Network], frames: int) -> dict[str, dict[str, float]]:
    """Milliseconds per frame, and speed relative to AutoencoderKLCosmos."""
    cosmos = networks[COSMOS]
    return {
        name: {
            "parameters": sum(parameter.numel() for parameter in network.module.parameters()),
            "encode_ms_per_frame": 1000 * statistics.median(network.encode_s) / frames,
            "decode_ms_per_frame": 1000 * statistics.median(network.decode_s) / frames,
            "encode_ratio": ratio(cosmos.encode_s, network.encode_s),
            "decode_ratio": ratio(cosmos.decode_s, network.decode_s),
        }
        for name, network in networks.items()
    }


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        "benchmarks.tokenizer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", type=Path, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=17, help="frames of the timed video, 1 + 8k")
    parser.add_argument("--size", type=int, default=256, help="height and width of the timed video, px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--wan-repeats", type=int, default=1, help="it takes minutes; 0 leaves it out")
    parser.add_argument("--resolution", type=int, default=360, help="short side for the quality, px")
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    report = evaluate_tokenizers(args.videos, list(BUNDLED), [args.resolution], device=device)
    print("\n".join(report.lines()), flush=True)

    networks: dict[str, Network] = {}
    for name in BUNDLED:
        tokenizer: Any = load_tokenizer(name)
        networks[name] = Network(tokenizer.to(device), tokenizer.encode, tokenizer.decode, args.repeats)
    networks |= build_cosmos(CONFIGS[OURS], args.repeats, device)
    if args.wan_repeats:
        networks[WAN] = build_wan(args.wan_repeats, device)
    rng = torch.Generator().manual_seed(0)
    video = torch.rand(1, 3, args.frames, args.size, args.size, generator=rng) * 2 - 1
    differences = measure(networks, video.to(device), args.repeats)
    times = summarize(networks, args.frames)
    header = ("", "parameters", "encode ms/frame", "decode ms/frame", "encode ratio", "decode ratio")
    forms = (",d", ".1f", ".1f", ".2f", ".2f")
    rows = [
        [name, *(format(value, form) for value, form in zip(values.values(), forms, strict=True))]
        for name, values in times.items()
    ]
    print(f"\n{args.frames} x {args.size} x {args.size} px, {args.threads} threads, {device.type}")
    print(table(header, rows))
    verdict = "reached" if times[OURS]["encode_ratio"] >= GOAL else "missed"
    same = "the same answer" if differences["latents"] <= TOLERANCE else "ANOTHER ANSWER"
    print(
        f"{OURS} against {COSMOS}: {same}, latents differ by at most {differences['latents']:.1e}, videos by"
        f" {differences['decoded']:.1e} of their maximum; encoding is {times[OURS]['encode_ratio']:.2f} times"
        f" as fast, the goal of {GOAL} is {verdict}"
    )
    write_json(args.json, {"quality": report.to_json(), "speed": times, "differences": differences})


if __name__ == "__main__":
    main()
