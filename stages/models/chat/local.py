"""A model in this process, which answers one request at a time."""

import asyncio
import time
from typing import TYPE_CHECKING

from stages.media.strip import decode_jpeg
from stages.models.chat.chat_model import ChatRequest, ChatResponse, make_response

if TYPE_CHECKING:
    from stages.models.image_text import ImageTextModel


class LocalModel:
    """A loaded model as a `ChatModel`.

    Args:
        max_tokens: Tokens of an answer, at most.
    """

    def __init__(self, model: "ImageTextModel", max_tokens: int) -> None:
        self._model, self._max_tokens = model, max_tokens
        self._lock = asyncio.Lock()

    def check_available(self) -> None:
        """Do nothing: a model in this process is always available."""

    async def complete(self, request: ChatRequest) -> ChatResponse:
        """See `ChatModel.complete`. Any exception of the model becomes an error of the row."""
        async with self._lock:
            start = time.monotonic()
            completion = self._model.generate(
                [*request.earlier, (request.prompt, "")],
                [decode_jpeg(image) for image in request.images],
                self._max_tokens,
            )
            return make_response(
                completion.text,
                "length" if completion.truncated else "stop",
                revision=self._model.revision,
                prompt_tokens=completion.prompt_tokens,
                output_tokens=completion.output_tokens,
                seconds=time.monotonic() - start,
            )
