"""Questions with a name and a fixed set of answers: yes and no, or choices. A YAML file holds a list of them.

has_person: Is at least one person visible?
place:
  question: Where is the scene?
  choices: [indoors, outdoors, studio]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests import ClipmillError
from manifests.messages import join_names
from manifests.row import check_column_name
from stages.models.chat.yaml_list import compose_file

if TYPE_CHECKING:
    pass

FOLDER = Path(__file__).parent
_FORM = "write `name: question`, or below `name:` the lines `question: …` and `choices: […, …]`"
_SEPARATOR = " | "


@dataclass(frozen=True)
class Question:
    """A question about a clip.

    Attributes:
        name: Name of the column that gets the answer.
        text: The question.
        choices: The possible answers; empty: yes and no.
    """

    name: str
    text: str
    choices: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The question as one line, which `parse_question` reads."""
        return _SEPARATOR.join([f"{self.name}: {self.text}", *self.choices])

    @property
    def prompt(self) -> str:
        """The question as a line of a prompt, with its name and its possible answers."""
        answers = [f'"{choice}"' for choice in self.choices] or ["true", "false"]
        return f'"{self.name}" ({join_names(answers, len(answers))}): {self.text}'


def parse_question(line: str) -> Question:
    """Return the question of a line: `name: question`, or `name: question | choice | choice`.

    Raises:
        ClipmillError: the line has another form, or the name cannot be that of a column.
    """
    head, *choices = (part.strip() for part in line.split("|"))
    name, _, text = (part.strip() for part in head.partition(":"))
    if not name or not text:
        raise ClipmillError("this is not a question", where=repr(line), remedy="write `name: question`")
    _check(name, text, choices, where=repr(line), is_open=not choices)
    return Question(name, text, tuple(choices))


def read_questions(file: str) -> tuple[str, ...]:
    """Return the lines of all questions of a YAML file, or of a built-in list by its name ("defects").

    Raises:
        ClipmillError: the file does not exist, is not YAML, or does not hold questions with unique names.
    """
    import yaml

    path, root = compose_file(file, FOLDER, _FORM)
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise ClipmillError("the file holds no questions", where=str(path), remedy=_FORM)
    questions: dict[str, Question] = {}
    for key, value in root.value:
        where = f"{path}:{key.start_mark.line + 1}"
        question = _question(key, value, where)
        if question.name in questions:
            raise ClipmillError(
                f"two questions have the name {question.name!r}", where=where, remedy="rename one"
            )
        questions[question.name] = question
    return tuple(question.line for question in questions.values())


def _question(key: Any, value: Any, where: str) -> Question:
    """Return the question of an entry, of nodes of YAML. Plain scalars such as `yes` are text."""
    name = key.value if isinstance(key.value, str) else ""
    fields = {"question": value}
    if not isinstance(value.value, str):
        pairs = value.value if type(value).__name__ == "MappingNode" else []
        fields = {field.value: content for field, content in pairs if isinstance(field.value, str)}
        if "question" not in fields or len(fields) < len(pairs) or set(fields) - {"question", "choices"}:
            raise ClipmillError(f"the entry {name!r} is not a question", where=where, remedy=_FORM)
    nodes = fields["choices"].value if "choices" in fields else []
    texts = [fields["question"].value, *(getattr(node, "value", None) for node in nodes)]
    if isinstance(nodes, str) or not all(isinstance(text, str) for text in texts):
        raise ClipmillError(f"the entry {name!r} is not a question", where=where, remedy=_FORM)
    text, *choices = (" ".join(text.split()) for text in texts)
    _check(name, text, choices, where=where, is_open="choices" not in fields)
    return Question(name, text, tuple(choices))


def _check(name: str, text: str, choices: Sequence[str], *, where: str, is_open: bool) -> None:
    """Check a question.

    Raises:
        ClipmillError: the name cannot be that of a column, a text is empty, or the choices are not distinct.
    """
    try:
        check_column_name(name)
    except ClipmillError as error:
        raise ClipmillError(error.what, where=where, remedy="choose another name for the question") from error
    if not text or "|" in "".join([text, *choices]):
        problem = "a question or a choice contains '|'" if text else "a question has no text"
        raise ClipmillError(problem, where=where, remedy=_FORM)
    distinct = {choice.casefold() for choice in choices}
    if not is_open and (len(distinct) < max(2, len(choices)) or "" in distinct):
        raise ClipmillError(
            f"the choices of {name!r} are not two or more different texts", where=where, remedy=_FORM
        )
