"""Measures false positives and misses of the word lists, and what each guardrail costs.

    python -m benchmarks.guardrails [--lists default,FILE] [--benign FILE] [--adversarial FILE] [--json OUT]

Prompts are those of `stages/guardrails/prompts`, or files of the same form. Each prompt is searched as it is
and with each trick of spelling. Benign prompts get the same tricks, because a search that finds more also
finds more that is not there.

list       name and version; "no allowed phrases": without `allow`
false      benign prompts that are blocked
missed     adversarial prompts that are not blocked
ms         median time per prompt; the same for better_profanity, if it is installed, on every tenth prompt

Frames are drawn. Each stage that is installed works on the same frames; ms per frame is the median.

Faces with known boxes move through FACE_FRAMES frames, and a simulated detector with noise misses some of
them. The table has the share of the boxes of which at least 95 % is hidden, for each frame alone and with
tracks.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from benchmarks.workloads.printing import table, write_json
from manifests import ClipmillError
from stages.guardrails.text.matcher import Matcher
from stages.guardrails.text.word_list import WordList, read_word_list

FOLDER = Path("stages/guardrails/prompts")
FRAMES, SIZE = 12, (640, 360)
FACE_FRAMES = 400
LONG = 100_000  # characters of a long prompt


def spaced(text: str, rng: random.Random) -> str:
    return "   ".join(" ".join(word) for word in text.split())


def separated(text: str, rng: random.Random) -> str:
    return " ".join(rng.choice("-._*").join(word) for word in text.split())


def zero_width(text: str, rng: random.Random) -> str:
    return "".join(letter + rng.choice(("", "\u200b", "\u200d", "\u00ad")) for letter in text)


def full_width(text: str, rng: random.Random) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text)


def accented(text: str, rng: random.Random) -> str:
    return "".join(letter + "\u0301" * letter.isalpha() for letter in text)


def homoglyphs(text: str, rng: random.Random) -> str:
    return text.translate(str.maketrans("aeopcxi", "аеорсхі"))


def leetspeak(text: str, rng: random.Random) -> str:
    table = {"a": "4@", "e": "3", "i": "1!", "l": "1", "o": "0", "s": "5$", "t": "7"}
    return "".join(rng.choice(table.get(letter, letter)) for letter in text)


def repeated(text: str, rng: random.Random) -> str:
    return "".join(letter * (3 if letter in "aeiou" else 1) for letter in text)


TRICKS: dict[str, Callable[[str, random.Random], str]] = {
    "as it is": lambda text, rng: text,
    "spaced letters": spaced,
    "separators": separated,
    "zero-width": zero_width,
    "full-width": full_width,
    "accents": accented,
    "homoglyphs": homoglyphs,
    "leetspeak": leetspeak,
    "repeated letters": repeated,
}


def read_prompts(file: Path) -> list[str]:
    """Return the prompts of a file, of all categories."""
    prompts: Any = yaml.safe_load(file.read_text(encoding="utf-8"))["prompts"]
    return list(prompts) if isinstance(prompts, list) else [p for found in prompts.values() for p in found]


def altered(prompts: Sequence[str], trick: str) -> list[str]:
    rng = random.Random(trick)
    return [TRICKS[trick](prompt, rng) for prompt in prompts]


def measure_list(
    words: WordList, benign: Sequence[str], adversarial: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield a line for each trick: the shares, and the blocked benign prompts."""
    matcher = Matcher([words])
    matcher.find("")
    for trick in TRICKS:
        spent, wrong, missed = [], [], []
        for prompt, is_benign in [
            *((p, True) for p in altered(benign, trick)),
            *((p, False) for p in altered(adversarial, trick)),
        ]:
            start = time.perf_counter()
            found = matcher.find(prompt)
            spent.append(1000 * (time.perf_counter() - start))
            if is_benign and found:
                wrong.append(f"{prompt!r}: {found[0].entry}")
            if not is_benign and not found:
                missed.append(prompt)
        yield {
            "trick": trick,
            "false": len(wrong) / len(benign),
            "missed": len(missed) / len(adversarial),
            "ms": statistics.median(spent),
            "wrong": wrong,
            "not found": missed,
        }


def time_long_prompt(matcher: Matcher) -> float:
    """The median time in ms to search a prompt of LONG characters."""
    text = "a calm river flows through a green valley at dawn, wide shot. " * (LONG // 62)
    return 1000 * _median_seconds(lambda: matcher.find(text), 5)


def measure_profanity(benign: Sequence[str], adversarial: Sequence[str]) -> dict[str, Any] | None:
    """better_profanity with its own list: the same shares and times, for every tenth prompt."""
    try:
        from better_profanity import profanity  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return None
    profanity.load_censor_words()
    spent = []
    blocked: dict[bool, list[bool]] = {True: [], False: []}
    for is_benign, prompts in ((True, benign), (False, adversarial)):
        for prompt in prompts[::10]:
            start = time.perf_counter()
            blocked[is_benign].append(bool(profanity.contains_profanity(prompt)))
            spent.append(1000 * (time.perf_counter() - start))
    return {
        "false": statistics.fmean(blocked[True]),
        "missed": 1 - statistics.fmean(blocked[False]),
        "ms": statistics.median(spent),
    }


def time_frames() -> Iterator[tuple[str, float]]:
    """Yield the name of each stage that works on frames, and its ms per frame; -1 if it has no weights."""
    from stages.guardrails.faces.hiding import BLUR, hide
    from stages.models.face_detector import FaceDetector
    from stages.models.frame_classifiers import OpenNsfw

    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (9, 16, 3), np.uint8)
    images = [cv2.resize(np.roll(small, k, 1), SIZE, interpolation=cv2.INTER_CUBIC) for k in range(FRAMES)]
    makers: dict[str, Callable[[], Callable[[Any], Any]]] = {
        "CheckVideo, open_nsfw": lambda: _one_image(OpenNsfw()),
        "MeasureFaces, BlurFaces: detection at 640 px": lambda: _faces(FaceDetector(longer_side_px=640)),
        "MeasureFaces, BlurFaces: detection at 320 px": lambda: _faces(FaceDetector(longer_side_px=320)),
        "BlurFaces: blur of one face": lambda: lambda image: hide(image.copy(), [(200, 90, 380, 270)], BLUR),
    }
    for name, make in makers.items():
        try:
            run = make()
        except ClipmillError:
            yield name, -1.0
            continue
        run(images[0])
        yield name, 1000 * statistics.median(_median_seconds(partial(run, image), 1) for image in images)


def measure_tracks(missed: float, run: int, seed: int = 0) -> tuple[float, float]:
    """Return the share of hidden boxes for each frame alone, and with tracks as `BlurFaces` makes them.

    Args:
        missed: Share of boxes that the detector misses.
        run: Length in frames of a run of missed boxes.
    """
    from stages.guardrails.blur_faces import BlurFaces
    from stages.guardrails.faces.hiding import with_margin
    from stages.guardrails.faces.tracks import track_faces
    from stages.models.face_detector import FaceBox

    rng = np.random.default_rng(seed)
    truth, detected = [], []
    gone = np.repeat(rng.random(FACE_FRAMES // run + 1) < missed, run)
    for k in range(FACE_FRAMES):
        side = 60 + 10 * np.sin(k / 30)
        truth.append(FaceBox(290 + 200 * np.sin(k / 40), 150 + 80 * np.sin(k / 25), side, 1.3 * side, 1.0))
        x, y, w, h = np.array(truth[-1][:4]) + rng.normal(0, 0.03 * side, 4)
        detected.append([] if gone[k] else [FaceBox(x, y, w, h, float(rng.uniform(0.3, 0.95)))])
    stage = BlurFaces()
    tracks = track_faces(detected, min_score=stage.min_score, max_gap=stage.max_gap, padding=stage.padding)
    alone = [(k, box) for k, boxes in enumerate(detected) for box in boxes if box.score >= stage.min_score]
    shares = []
    for found in (alone, [(track.frame, track.box) for track in tracks]):
        hidden = np.zeros((FACE_FRAMES, SIZE[1], SIZE[0]), bool)
        for k, box in found:
            left, top, right, bottom = with_margin(box, stage.margin, *SIZE)
            hidden[k, top:bottom, left:right] = True
        inside = [with_margin(box, 0, *SIZE) for box in truth]
        covered = [hidden[k, t:b, x:r].mean() for k, (x, t, r, b) in enumerate(inside)]
        shares.append(float(np.mean(np.array(covered) >= 0.95)))
    return shares[0], shares[1]


def _one_image(classifier: Any) -> Callable[[Any], Any]:
    return lambda image: classifier([image])


def _faces(detector: Any) -> Callable[[Any], Any]:
    return lambda image: detector(image, 0.2)


def _median_seconds(run: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def _percent(hidden: dict[str, tuple[float, float]]) -> list[list[str]]:
    return [[name, *(f"{share:.3f}" for share in shares)] for name, shares in hidden.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lists", default="default", help="word lists, separated by commas")
    parser.add_argument("--benign", type=Path, default=FOLDER / "benign.yaml", metavar="FILE")
    parser.add_argument("--adversarial", type=Path, default=FOLDER / "adversarial.yaml", metavar="FILE")
    parser.add_argument("--show", action="store_true", help="print each wrong verdict on unaltered prompts")
    parser.add_argument("--json", metavar="OUT")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    benign, adversarial = read_prompts(args.benign), read_prompts(args.adversarial)
    lists = [read_word_list(name) for name in args.lists.split(",")]
    named = [(f"{words.name} {words.version}", words) for words in lists]
    named += [(f"{name}, no allowed phrases", words._replace(allow=())) for name, words in named]
    measured: dict[str, Any] = {}
    rows = []
    for name, words in named:
        measured[name] = list(measure_list(words, benign, adversarial))
        rows += [
            [name, line["trick"], *(f"{line[key]:.3f}" for key in ("false", "missed", "ms"))]
            for line in measured[name]
        ]
        if args.show:
            print("\n".join([f"{name}, blocked:", *measured[name][0]["wrong"]]))
            print("\n".join([f"{name}, missed:", *measured[name][0]["not found"]]))
    if peer := measure_profanity(benign, adversarial):
        rows.append(["better_profanity", "as it is", *(f"{peer[k]:.3f}" for k in ("false", "missed", "ms"))])
        measured["better_profanity"] = peer
    print(f"{len(benign)} benign and {len(adversarial)} adversarial prompts")
    print(table(("list", "trick", "false", "missed", "ms"), rows))
    long_ms = time_long_prompt(Matcher(lists))
    print(f"\na prompt of {LONG:,} characters: {long_ms:.1f} ms\n")
    frames = dict(time_frames())
    hidden = {
        f"{share:.0%} in runs of {run}": measure_tracks(share, run)
        for share in (0, 0.1, 0.3)
        for run in (1, 5)
    }
    print(table(("missed by the detector", "frames alone", "tracked"), _percent(hidden)), end="\n\n")
    shown = [[name, f"{ms:.1f}" if ms >= 0 else "not installed"] for name, ms in frames.items()]
    print(table((f"frames of {SIZE[0]} x {SIZE[1]} px", "ms per frame"), shown))
    write_json(
        args.json, {"lists": measured, "long_prompt_ms": long_ms, "ms_per_frame": frames, "hidden": hidden}
    )


if __name__ == "__main__":
    main()
