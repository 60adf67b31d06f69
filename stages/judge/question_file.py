"""Questions of yes or no about generated videos, with the expected answer and a category, from a YAML file.

- id: vanishes
  category: object permanence
  question: Does an object vanish, or appear from nothing?
  answer: no
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import ClipmillError
from manifests.messages import suggest_names
from stages.models.chat.yaml_list import compose_file

if TYPE_CHECKING:
    import yaml

FOLDER = Path(__file__).parent / "questions"
CAPTION = "{caption}"
EXPECTED = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
_FIELDS = ("id", "question", "answer", "category", "videos")
_FORM = "write a list of entries with id, question, answer (yes or no), category, and optional videos"


@dataclass(frozen=True)
class Question:
    """A question about some of the videos.

    Attributes:
        id: Its name, which no other question has.
        text: The question; {caption} stands for the caption of the video.
        expected: The right answer, "yes" or "no".
        category: What it is about, such as "object permanence".
        videos: Pattern of the names of the reference videos that it is about.
    """

    id: str
    text: str
    expected: str
    category: str
    videos: str = "*"

    @property
    def is_of_one_video(self) -> bool:
        """Whether its right answer is only known for the video that it is about."""
        return CAPTION in self.text or self.videos != "*"

    def concerns(self, name: str) -> bool:
        """Whether it is asked about the reference video of this name."""
        return fnmatchcase(name, self.videos)


def read_questions(file: str) -> tuple[Question, ...]:
    """Return the questions of a YAML file, or of a built-in list by its name ("world").

    Raises:
        ClipmillError: The file does not exist, is not YAML, or does not hold questions with unique ids.
    """
    import yaml

    path, root = compose_file(file, FOLDER, _FORM)
    if not isinstance(root, yaml.SequenceNode) or not root.value:
        raise ClipmillError("the file holds no list of questions", where=str(path), remedy=_FORM)
    questions = [_question(node, f"{path}:{node.start_mark.line + 1}") for node in root.value]
    for question, node in zip(questions, root.value, strict=True):
        if sum(each.id == question.id for each in questions) > 1:
            raise ClipmillError(
                f"two questions have the id {question.id!r}",
                where=f"{path}:{node.start_mark.line + 1}",
                remedy="rename one",
            )
    return tuple(questions)


def _question(node: "yaml.Node", where: str) -> Question:
    fields = dict(_texts(node, where))
    for name in ("id", "question", "answer"):
        if not fields.get(name):
            raise ClipmillError(f"a question has no {name}", where=where, remedy=_FORM)
    expected = EXPECTED.get(fields["answer"].casefold())
    if expected is None:
        raise ClipmillError(
            f"the expected answer of {fields['id']!r} is {fields['answer']!r}",
            where=where,
            remedy="write answer: yes or answer: no, and the question so that it has one of them",
        )
    category, videos = fields.get("category") or "questions", fields.get("videos") or "*"
    return Question(fields["id"], fields["question"], expected, category, videos)


def _texts(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """The fields of an entry as text: `yes` and `no` are not read as true and false."""
    pairs: Sequence[tuple[Any, Any]] = node.value if type(node).__name__ == "MappingNode" else ()
    if not pairs:
        raise ClipmillError("an entry is not a question", where=where, remedy=_FORM)
    for key, value in pairs:
        if key.value not in _FIELDS:
            hint = suggest_names(str(key.value), _FIELDS)
            raise ClipmillError(
                f"a question has an unknown field {key.value!r}", where=where, remedy=hint or _FORM
            )
        if not isinstance(value.value, str):
            raise ClipmillError(f"the field {key.value} is not a text", where=where, remedy=_FORM)
        yield key.value, " ".join(value.value.split())
