"""How much faster does an autoregressive model decode with Medusa heads, and how often is each accepted?

    python -m benchmarks.decoding --model DIR --data CODES [--heads 1 2 … 9] [--clips N] [--json OUT]

Each clip continues the first latent frame of a held-out one, plainly and with each number of heads, in turn.
All give the same tokens, which is checked. Time is CPU time on a CPU. The ratio is the median over clips of
plain time divided by the time with heads. Tokens per pass is the number of tokens that a forward pass gives.

Then the model decodes in bf16. The last line has the share of tokens that are not those of plain decoding.
The last bits of products of one row and of several rows cause them. After the first of them all may differ.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.workloads.printing import table, write_json
from training.autoregressive.model import AutoregressiveModel
from training.autoregressive.model_file import load_token_model
from training.data.find_shards import find_splits
from training.decoding.choice import TokenChoice
from training.decoding.decoder import Decoder, ForwardPass
from training.decoding.medusa_draft import MedusaDraft
from training.decoding.token_sampler import TokenSampler
from training.diffusion.conditioning import Conditioning
from training.evaluation.clips import EvaluationClips
from training.evaluation.evaluate_tokens import open_codes_of

GOAL = 2.0  # times plain decoding, as Cosmos reports for 4B
ROW_GROUPS = 4  # parts of a frame, from its top, of which acceptance is shown


@dataclass(frozen=True)
class Decoded:
    """One clip, decoded in one way."""

    tokens: Tensor
    seconds: float
    passes: Sequence[ForwardPass]


def decode(
    model: AutoregressiveModel, sampler: TokenSampler, clips: Tensor, first: int, heads: int
) -> Decoded:
    """Decode the latent frames after the first of `clips` [b t h w], samples `first` …, with some heads."""
    choice = TokenChoice(model.network, sampler)
    decoder = Decoder(choice, (clips.shape[2], clips.shape[3]), Conditioning())
    if heads:
        decoder = replace(decoder, draft=MedusaDraft.of(choice, model), num_drafted=heads, passes=[])
    prefix = clips[:, 0].flatten(1)
    count = clips[0].numel() - prefix.shape[1]
    samples = torch.arange(first, first + len(clips), device=clips.device)
    clock = time.perf_counter if clips.device.type == "cuda" else time.process_time
    started = clock()
    tokens = decoder(prefix, count, samples, prefix.shape[1]).cpu()
    return Decoded(tokens, clock() - started, decoder.passes)


def read_clips(model: Path, data: str, count: int) -> Tensor:
    """Codes of held-out clips of the most frequent shape, [n t h w]."""
    _, info = load_token_model(model)
    rest, held_out = find_splits(data)
    clips = EvaluationClips(open_codes_of(info, held_out or rest), 4 * count)
    shape = tuple(info.latent_shapes[0])
    found = [batch.clips.latents[0] for batch in clips.batches(1, 0, 1)]
    chosen = [latents[0].long() for latents in found if tuple(latents.shape) == shape]
    return torch.stack(chosen[:count])


def acceptance(passes: Sequence[ForwardPass], head: int) -> float:
    """The share of the forward passes with a token of this head in which it was accepted."""
    drafted = [each for each in passes if each.drafted >= head]
    return sum(each.accepted >= head for each in drafted) / max(1, len(drafted))


def acceptance_by_row(passes: Sequence[ForwardPass], area: int) -> list[float]:
    """The mean number of accepted tokens of the passes that begin in each part of a frame."""
    parts: list[list[int]] = [[] for _ in range(ROW_GROUPS)]
    for each in passes:
        if each.drafted:
            parts[each.place % area * ROW_GROUPS // area].append(each.accepted)
    return [statistics.mean(part) if part else 0.0 for part in parts]


def mismatch(model: AutoregressiveModel, sampler: TokenSampler, clips: Tensor, heads: int) -> float:
    """The share of tokens that differ from plain decoding."""
    pairs = [
        [decode(model, sampler, clips[n : n + 1], n, count).tokens for count in (0, heads)]
        for n in range(len(clips))
    ]
    return statistics.mean(float((plain != fast).float().mean()) for plain, fast in pairs)


def measure(
    model: AutoregressiveModel, sampler: TokenSampler, clips: Tensor, heads: Sequence[int]
) -> dict[int, list[Decoded]]:
    """Each clip, decoded with each number of heads; 0 is plain. The order alternates.

    Raises:
        SystemExit: The tokens are not those of plain decoding.
    """
    counts = [0, *heads]
    for count in counts:
        decode(model, sampler, clips[:1, :2], 0, count)  # the first call of a shape is slower
    found: dict[int, list[Decoded]] = {count: [] for count in counts}
    for number in range(len(clips)):
        for count in counts if number % 2 == 0 else reversed(counts):
            found[count].append(decode(model, sampler, clips[number : number + 1], number, count))
    for count in counts:
        pairs = zip(found[0], found[count], strict=True)
        if not all(torch.equal(plain.tokens, other.tokens) for plain, other in pairs):
            raise SystemExit(f"the tokens with {count} heads are not those of plain decoding")
    return found


def report(found: dict[int, list[Decoded]], batched: dict[int, Decoded], area: int) -> dict[str, object]:
    """Print the tables, and return their figures."""
    rows, figures = [], {}
    for count, clips in found.items():
        tokens = clips[0].tokens.numel()
        speed = statistics.median(tokens / each.seconds for each in clips)
        ratio = statistics.median(a.seconds / b.seconds for a, b in zip(found[0], clips, strict=True))
        per_pass = tokens * len(clips) / sum(len(each.passes) for each in clips)
        together = batched[0].seconds / batched[count].seconds
        figures[count] = {"tokens_per_s": speed, "ratio": ratio, "per_pass": per_pass, "batched": together}
        rows.append([count or "plain", f"{speed:.0f}", f"{ratio:.2f}", f"{per_pass:.2f}", f"{together:.2f}"])
    size = len(batched[0].tokens)
    print(table(("heads", "tokens/s", "ratio", "tokens per pass", f"ratio, batch of {size}"), rows))
    best = max(values["ratio"] for count, values in figures.items() if count)
    print(f"best ratio {best:.2f}, goal {GOAL}")
    most = max(found)
    passes = [each for clip in found[most] for each in clip.passes]
    shares = [acceptance(passes, head) for head in range(1, most + 1)]
    print(f"accepted, of head 1 to {most}: " + " ".join(f"{share:.0%}" for share in shares))
    parts = acceptance_by_row(passes, area)
    print("accepted tokens per pass, from the top of a frame: " + " ".join(f"{part:.2f}" for part in parts))
    return {"by_heads": figures, "accepted_by_head": shares, "accepted_by_row": parts}


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(
        "benchmarks.decoding", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of a model with Medusa heads")
    parser.add_argument("--data", required=True, help="folder of codes")
    parser.add_argument("--heads", type=int, nargs="+", help="numbers of heads (1 to all)")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--latent-frames", type=int, help="latent frames of a clip, the given one too (all)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-k", type=int, default=0)
    parser.add_argument("--top-p", type=float, default=0.8)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--json", help="file for the results")
    args = parser.parse_args()
    torch.set_num_threads(args.num_threads)
    model, info = load_token_model(args.model)
    if not info.network.medusa_heads:
        raise SystemExit("the model has no Medusa heads; train them with init_from=MODEL medusa_heads=9")
    heads = args.heads or range(1, info.network.medusa_heads + 1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, clips = model.to(device), read_clips(args.model, args.data, args.clips).to(device)
    clips = clips[:, : args.latent_frames]
    sampler = TokenSampler(temperature=args.temperature, top_k=args.top_k, top_p=args.top_p)
    print(
        f"{len(clips)} clips of {clips[0].numel()} tokens, temperature {args.temperature:g},"
        f" top-k {args.top_k}, top-p {args.top_p:g}, {device.type}"
    )
    found = measure(model, sampler, clips, heads)
    batched = {count: decode(model, sampler, clips[:4], 0, count) for count in (0, *heads)}
    results = report(found, batched, clips.shape[2] * clips.shape[3])
    share = mismatch(model.to(torch.bfloat16), sampler, clips[:2], max(heads))
    print(f"bf16: {share:.2%} of the tokens with {max(heads)} heads are not those of plain decoding")
    write_json(args.json, {**results, "bf16_mismatch": share})


if __name__ == "__main__":
    main()
