"""Removes what a model wrote for itself: thoughts in marks, and the marks around the answer."""

import re

_NAME = r"(?:\w+:)?(?:think|thinking|thoughts?|reason|reasoning|reflection|analysis|scratchpad|details)"
_LEFT, _RIGHT = r"(?:<\|?|&lt;|\[|◁)\s*", r"\s*(?:\|?>|&gt;|\]|▷)"
_TAG = rf"{_LEFT}{_NAME}(?:\s+[^<>\]]*)?{_RIGHT}"
_OPEN = rf"(?:{_TAG}|<\|begin_of_thought\|>|<unused94>(?:thought)?|<\|channel>thought)"
_CLOSE = rf"(?:{_LEFT}/\s*{_NAME}{_RIGHT}|</\|?{_NAME}{_RIGHT}|<\|end_of_thought\|>|<unused95>|<channel\|>)"
_FLAGS = re.DOTALL | re.IGNORECASE

_PAIR = re.compile(rf"{_OPEN}.*?{_CLOSE}", _FLAGS)
_UNTIL_CLOSE = re.compile(rf"\A.*{_CLOSE}", _FLAGS)
_UNCLOSED = re.compile(rf"^[ \t]*{_OPEN}.*\Z", _FLAGS | re.MULTILINE)
# The channels of gpt-oss (harmony format). Servers that drop special tokens leave the words of the second.
_CHANNELS = re.compile(r"<\|channel\|>")
_FINAL_CHANNEL = re.compile(r".*<\|channel\|>\s*final\b.*?<\|message\|>", _FLAGS)
_FINAL_WORDS = re.compile(r"\A\s*analysis(?=[A-Z\s]).*?assistant\s*final", re.DOTALL)
_WRAPPED = re.compile(
    r"<(answer|final_answer|response|caption)>(.*?)(?:</\1>|\Z)"
    r"|<\|begin_of_(solution|box)\|>(.*?)(?:<\|end_of_\3\|>|\Z)",
    _FLAGS,
)
_END = re.compile(
    r"<\|(?:end|return|start|im_end|im_start|eot_id|endoftext)\|>.*|</s>\s*\Z|<end_of_turn>.*", _FLAGS
)


def remove_thoughts(text: str) -> str:
    """Return the answer in a model's text; empty if the text ends in the middle of the thoughts.

    The opening mark may be missing, because some chat templates contain it. Then all before the closing mark
    is thought. Marks are <think>, <thinking>, <reasoning>, [THINK], ◁think▷ and their kind, and the channels
    of gpt-oss.
    """
    if _CHANNELS.search(text):
        final = _FINAL_CHANNEL.match(text)
        text = text[final.end() :] if final else ""
    text = _FINAL_WORDS.sub("", text)
    text = _PAIR.sub("", text)
    text = _UNTIL_CLOSE.sub("", text)
    text = _UNCLOSED.sub("", text)
    if wrapped := _WRAPPED.search(text):
        text = wrapped[2] if wrapped[1] else wrapped[4]
    return _END.sub("", text)
