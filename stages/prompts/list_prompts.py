"""Lists prompts: one text, or a file with a prompt per line, as text or JSON lines."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from manifests import ClipmillError, NonNegativeInt, Row, column
from manifests.identity import digest_of, id_of
from manifests.messages import join_names
from pipeline import Source
from stages.models.chat.chat_model import clean_text

_KEYS = ("prompt", "image", "video", "seed")
_MAX_SEED = 2**63 - 1


class ListedPrompt(Row):
    id: str = column("digest of prompt, seed and given frames, and the ordinal among identical ones")
    prompt: str = column("text of the video to sample; empty samples without text")
    seed: int = column("seed of the noise of the sampled video")
    given_image: str = column("path of the image that the video begins with; empty: none")
    given_video: str = column("path of the video whose last frames the video begins with; empty: none")
    condition_sha256: str = column("SHA-256 of the bytes of the image or video; empty without")
    source: str = column("name of the file and number of the line; empty for a prompt that was given as text")


class _Prompt(NamedTuple):
    """A prompt as it was given."""

    prompt: str
    seed: int
    image: str
    video: str
    source: str


class ListPrompts(Source[ListedPrompt]):
    """Lists the prompts of videos to sample.

    A text file has one prompt per line; blank lines are left out. A file .jsonl has one object per line with
    `prompt` and optional `image`, `video` (paths, from the folder of the file) and `seed`. The id of a prompt
    is derived from its content, so results are kept when prompts are added, removed or moved. Control
    characters become blanks.

    Attributes:
        prompt: Text of one video; with `file` it must be empty.
        file: UTF-8 file of prompts: .jsonl, or any other ending for lines of text. Empty: `prompt` is used.
        seed: Seed of the noise of each prompt that has none in the file.
        image: File of an image that the video of `prompt` begins with; empty: none.
        video: File of a video whose last frames the video of `prompt` begins with; empty: none.
    """

    execution_settings = frozenset({"prompt", "file", "seed", "image", "video"})  # the digest has the prompts

    prompt: str = ""
    file: str = ""
    seed: NonNegativeInt = 0
    image: str = ""
    video: str = ""

    def __post_init__(self) -> None:
        if self.file and (self.prompt or self.image or self.video):
            raise ClipmillError(
                "a prompt and a file of prompts are both given",
                where=f"file {self.file}",
                remedy="give one of them; a .jsonl file names the image or video of each prompt",
            )

    def digest(self) -> str:
        """Return the digest of the prompts.

        Raises:
            ClipmillError: the file cannot be read, has no prompt, or a line of it is wrong.
        """
        return digest_of([[*vars(row).values()] for row in self.rows()])

    def rows(self) -> Iterator[ListedPrompt]:
        copies: Counter[str] = Counter()
        for given in self._given():
            sha256 = _condition_sha256(given)
            content = id_of("prompt", given.prompt, given.seed, bool(given.image), sha256)
            ordinal = copies[content]
            copies[content] += 1
            yield ListedPrompt(
                id=id_of("prompt", content, ordinal) if ordinal else content,
                prompt=given.prompt,
                seed=given.seed,
                given_image=given.image,
                given_video=given.video,
                condition_sha256=sha256,
                source=given.source,
            )

    def _given(self) -> Iterator[_Prompt]:
        if not self.file:
            image, video = _absolute(self.image), _absolute(self.video)
            yield _Prompt(clean_text(self.prompt), self.seed, image, video, "")
            return
        path, count = Path(self.file), 0
        for number, line in enumerate(_read(path).split("\n"), 1):
            if line.strip():
                count += 1
                yield self._line(path, number, line)
        if not count:
            raise ClipmillError("the file has no prompt", where=str(path), remedy="write one prompt per line")

    def _line(self, path: Path, number: int, line: str) -> _Prompt:
        source = f"{path.name}:{number}"
        if path.suffix.lower() != ".jsonl":
            return _Prompt(clean_text(line), self.seed, "", "", source)
        fields = _fields(line, f"{path}, line {number}")
        given = (fields.get(name) for name in ("image", "video"))
        image, video = (_absolute(str(path.parent / name)) if name else "" for name in given)
        seed = self.seed if fields.get("seed") is None else fields["seed"]
        return _Prompt(clean_text(fields["prompt"]), seed, image, video, source)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ClipmillError(
            f"the prompts cannot be read: {getattr(error, 'strerror', None) or 'the file is not UTF-8 text'}",
            where=str(path),
            remedy="name a UTF-8 text file with a prompt per line, or a .jsonl file",
        ) from error


def _fields(line: str, where: str) -> Mapping[str, Any]:
    """Return the fields of a JSON line.

    Raises:
        ClipmillError: the line is not such an object.
    """
    remedy = 'write each line as {"prompt": "a dog runs", "image": "dog.png", "seed": 1}'
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ClipmillError("the line is not JSON", where=where, remedy=remedy) from error
    if not isinstance(fields, dict):
        raise ClipmillError("the line is not a JSON object", where=where, remedy=remedy)
    unknown = [name for name in fields if name not in _KEYS]
    if unknown:
        raise ClipmillError(
            f"the line has an unknown field {unknown[0]!r}",
            where=where,
            remedy=f"the fields are {join_names(_KEYS)}",
        )
    if not isinstance(fields.get("prompt"), str):
        raise ClipmillError("the line has no text in prompt", where=where, remedy=remedy)
    if any(not isinstance(fields.get(name) or "", str) for name in ("image", "video")):
        raise ClipmillError("image and video must be paths", where=where, remedy=remedy)
    seed = fields.get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed <= _MAX_SEED):
        raise ClipmillError("the seed is not a whole number of 0 or more", where=where, remedy=remedy)
    return fields


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def _condition_sha256(given: _Prompt) -> str:
    if given.image and given.video:
        raise ClipmillError(
            "a prompt has an image and a video", where=given.source or "image", remedy="leave one of them out"
        )
    path = given.image or given.video
    if not path:
        return ""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ClipmillError(
            f"the {'image' if given.image else 'video'} of a prompt cannot be read: {error.strerror}",
            where=f"{given.source}: {path}" if given.source else path,
            remedy="name a file that exists; in a file of prompts, from the folder of that file",
        ) from error
