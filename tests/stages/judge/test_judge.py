"""A judge that looks: questions of a file, answers of a real server as rows, and their table."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from chat_client import in_turn
from chat_server import ChatServer, Reply, Request, completion

from manifests import ClipmillError
from pipeline.cli import main
from stages.judge.judge_video import JudgedVideo, JudgeVideo, VideoToJudge, parse_answer
from stages.judge.list_questions import ListQuestions
from stages.judge.question_file import read_questions

QUESTIONS = """
- id: instruction
  category: instruction following
  question: "Does the disc do this: {caption}?"
  answer: yes
- id: vanishes
  category: object permanence
  question: Does the disc vanish?
  answer: no
- id: right_side
  category: instruction following
  question: Is the disc on the right at the end?
  answer: "Yes"
  videos: move_right*
"""
PLACES = {"move_right_0": (12, 50), "move_left_0": (50, 12), "move_right_1": (20, 52)}


def write_disc(file: Path, start: float, end: float, last_seen: int = 99) -> None:
    """A red disc that moves along a line in 9 frames; it vanishes after a frame."""
    from stages.media.encoding.arrays import write_mp4

    file.parent.mkdir(parents=True, exist_ok=True)
    frames = np.full((9, 48, 64, 3), 128, np.uint8)
    for number, x in enumerate(np.linspace(start, end, 9)):
        if number <= last_seen:
            cv2.circle(frames[number], (round(x), 24), 7, (220, 30, 30), -1)
    write_mp4(file, frames, 8, crf=5, preset="veryfast")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Reference films of discs; of the generated ones, one goes the wrong way and one vanishes."""
    for name, (start, end) in PLACES.items():
        write_disc(tmp_path / "truth" / f"{name}.mp4", start, end)
        (tmp_path / "truth" / f"{name}.txt").write_text(name.rsplit("_", 1)[0].replace("_", " "))
    write_disc(tmp_path / "made" / "move_right_0.mp4", 12, 50)
    write_disc(tmp_path / "made" / "move_left_0.mp4", 20, 50)
    write_disc(tmp_path / "made" / "move_right_1.mp4", 20, 52, last_seen=4)
    (tmp_path / "questions.yaml").write_text(QUESTIONS)
    return tmp_path


def look(request: Request) -> Reply:
    """Answer by the place of the disc in the images, as a perfect judge would."""
    places = [np.flatnonzero((image[..., 0] > 150) & (image[..., 1] < 90)) % 64 for image in request.images]
    first, last = (place.mean() if len(place) else None for place in (places[0], places[-1]))
    question = request.prompt.partition("Question: ")[2]
    if "vanish" in question:
        return completion("no" if last is not None else "Yes, it does.")
    if last is None or first is None:
        return completion("unknown")
    if "on the right" in question:
        return completion("yes" if last > 32 else "no")
    moved = "right" if last > first + 3 else "left" if last < first - 3 else "nowhere"
    return completion(f"It moves.\n\n**{'Yes' if f'move {moved}' in question else 'No'}**")


def test_answers_become_a_table_with_controls(films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knobs = [f"videos={films}/made", f"reference={films}/truth", f"questions={films}/questions.yaml"]
    with ChatServer(look) as server:
        knobs += ["model=toy", f"endpoint={server.url}", f"store={films}/store"]
        assert main(["run", "stages/recipes/judge.py", *knobs, "--inline", "--quiet"]) == 0
        assert len(server.requests) == 3 * (5 + 4) + 2 * 5
        assert {len(request.images) for request in server.requests} == {5}
        [frozen] = [r for r in server.requests if len({*r.jpegs}) == 1 and "on the right" in r.prompt][:1]
        assert "5 images" in frozen.prompt
        assert "1.1 s" in frozen.prompt
        answers = films / "answers.parquet"
        assert (
            main(["table", f"store={films}/store", "--of", "list_questions", "--parquet", str(answers)]) == 0
        )
    rows = pq.read_table(answers).to_pylist()
    assert {row["answered_by"] for row in rows} == {"toy, toy-1 fp_7"}
    assert {row["answer"] for row in rows} == {"yes", "no", "unknown"}
    assert not any(str(server.port) in str(value) for row in rows for value in row.values())
    evaluate = ["evaluate", "world", "--videos", f"{films}/made", "--reference", f"{films}/truth"]
    evaluate += ["--metrics", "judge", "--answers", str(answers), "--json", f"{films}/out.json"]
    evaluate += ["--html", f"{films}/out.html"]
    assert main(evaluate) == 0
    found = json.loads((films / "out.json").read_text())["tables"]["judge"]
    values = {
        row: {key: each["mean"] for key, each in columns.items()} for row, columns in found["rows"].items()
    }
    instruction, permanence = "judge_instruction_following_share", "judge_object_permanence_share"
    assert list(values) == [
        "model",
        "ground truth",
        "another clip",
        "first frame repeated",
        "constant velocity",
    ]
    assert values["ground truth"][instruction] == values["ground truth"][permanence] == 1
    assert values["model"][instruction] == pytest.approx((1 + 0 + 0) / 3)
    assert values["model"][permanence] == pytest.approx(2 / 3)
    assert values["first frame repeated"][instruction] == 0
    assert values["first frame repeated"][permanence] == 1
    assert values["constant velocity"][instruction] == values["constant velocity"][permanence] == 1
    assert values["another clip"][permanence] is None
    assert found["rows"]["first frame repeated"][instruction]["minus_model"]["clips"] == 3
    assert found["notes"] == {"answered_by": "toy, toy-1 fp_7", "answers": 37}
    assert "instruction following" in (films / "out.html").read_text()
    write_disc(films / "made" / "move_left_0.mp4", 50, 12)
    assert main(evaluate) == 0
    assert "its video is not the one that was judged" in capsys.readouterr().out
    for name in PLACES:
        for folder in ("truth", "made"):
            (films / folder / f"{name}.mp4").rename(films / folder / f"other_{name}.mp4")
    assert main(evaluate) == 2
    assert "the answers are about other clips, such as 'move_left_0'" in capsys.readouterr().err
    assert main([*evaluate[:6], "--metrics", "judge"]) == 2
    assert "add --answers FILE" in capsys.readouterr().err
    assert main([*evaluate[:6], "--metrics", "judge", "--answers", f"{films}/questions.yaml"]) == 2
    assert "the answers cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("yes", "yes"),
        ("No.", "no"),
        ("No, the puck stays.", "no"),
        ("**Yes**", "yes"),
        ('{"answer": "no"}', "no"),
        ("The puck moves.\n\nAnswer: yes", "yes"),
        ("It turns.\nno", "no"),
        ("Unknown: it is hidden.", "unknown"),
        ("No object vanishes.", None),
        ("The object is not there.", None),
        ("Maybe", None),
    ],
)
def test_answers_are_read(text: str, answer: str | None) -> None:
    assert parse_answer(text) == answer


def test_an_answer_that_says_nothing_is_an_error_and_a_refusal_is_none(films: Path) -> None:
    row = VideoToJudge(
        video=f"{films}/made/move_left_0.mp4", shown_as="video", given_frames=0, question="Does it?"
    )
    replies = in_turn(completion("Perhaps it does"), completion("I'm sorry, but I can't help with that."))
    with ChatServer(replies) as server:
        stage = JudgeVideo(model="toy", endpoint=server.url, max_attempts=1, max_images=3)
        stage.digest()
        [error], [refused] = list(stage.annotate([row])), list(stage.annotate([row]))
    assert "the answer is not yes, no or unknown. The answer: 'Perhaps it does'" in str(error)
    assert isinstance(refused, JudgedVideo)
    assert refused.answer is None
    assert [len(request.images) for request in server.requests if request.jpegs] == [3, 3]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda text: text.replace("answer: no", "answer: perhaps"),
            "the expected answer of 'vanishes' is 'perhaps'",
        ),
        (lambda text: text.replace("id: vanishes", "id: instruction"), "two questions have the id"),
        (lambda text: text.replace("  question: Does", "  qestion: Does"), "unknown field 'qestion'"),
        (lambda text: text.replace("  answer: no\n", ""), "a question has no answer"),
        (lambda text: text.replace("move_right*", "nothing*"), "is about no video"),
        (lambda text: text.replace("- id", "id"), "is not YAML"),
        (lambda _: "a: b", "no list of questions"),
        (lambda _: "- !!python/object/apply:os.getcwd []", "an entry is not a question"),
    ],
)
def test_wrong_questions(films: Path, change: Callable[[str], str], what: str) -> None:
    file = films / "questions.yaml"
    file.write_text(change(QUESTIONS))
    with pytest.raises(ClipmillError, match=what):
        ListQuestions(videos=f"{films}/made", reference=f"{films}/truth", questions=str(file)).digest()


def test_captions_of_a_list_and_missing_ones(films: Path) -> None:
    assert len(read_questions("world")) >= 5
    stage = ListQuestions(videos=f"{films}/made", reference=f"{films}/truth", compare=(f"big={films}/made",))
    assert '"move left"' in next(row.question for row in stage.rows() if row.clip == "move_left_0")
    assert sum(row.table_row == "big" for row in stage.rows()) == 3 * len(read_questions("world"))
    (films / "truth" / "move_left_0.txt").unlink()
    with pytest.raises(ClipmillError, match="needs the caption of 'move_left_0'"):
        stage.digest()
    (films / "truth" / "list.csv").write_text("uri,caption\nmove_left_0.mp4,goes left\n")
    assert '"goes left"' in next(row.question for row in stage.rows() if row.clip == "move_left_0")
    with pytest.raises(ClipmillError, match="is no new row"):
        ListQuestions(videos=f"{films}/made", reference=f"{films}/truth", compare=("big",)).digest()
