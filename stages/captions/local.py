"""A model in this process, asked one question at a time."""

import asyncio
import time
from typing import TYPE_CHECKING

from stages.captions.chat import Question, Said, said
from stages.media.strip import decoded

if TYPE_CHECKING:
    from stages.models.image_text import ImageText


class Local:
    """A loaded model, as one that can be asked.

    Args:
        max_tokens: of an answer.
    """

    def __init__(self, model: "ImageText", max_tokens: int) -> None:
        self._model, self._max_tokens = model, max_tokens
        self._one = asyncio.Lock()

    def check(self) -> None:
        """Somebody in this process is never away."""

    async def ask(self, question: Question) -> Said:
        """See `Asked.ask`; whatever the model raises is an error of the row's."""
        async with self._one:
            began = time.monotonic()
            written = self._model.write(
                [*question.earlier, (question.prompt, "")],
                [decoded(picture) for picture in question.pictures],
                self._max_tokens,
            )
            return said(
                written.text,
                "length" if written.cut else "stop",
                revision=self._model.revision,
                prompt_tokens=written.prompt_tokens,
                output_tokens=written.output_tokens,
                seconds=time.monotonic() - began,
            )
