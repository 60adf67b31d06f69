"""A caption holds no thoughts of the model, whatever marks they have."""

import pytest

from stages.models.chat.chat_model import NoResponse, make_response
from stages.models.chat.thoughts import remove_thoughts

ANSWER = "A brown dog runs."
THOUGHT = "Okay, a caption. Is it a dog?\nWait: yes."


@pytest.mark.parametrize(
    "text",
    [
        f"{THOUGHT}\n</think>\n\n{ANSWER}",
        f"</think>{ANSWER}",
        f"<think>{THOUGHT}</think>{ANSWER}",
        f"<think></think>{ANSWER}",
        f"<THINK time='3'>{THOUGHT}</ think >{ANSWER}",
        f"<think>a<think>{THOUGHT}</think>b</think>{ANSWER}",
        f"<think>{THOUGHT}</think><think>again</think>{ANSWER}",
        f"{ANSWER}\n<think>{THOUGHT}</think>",
        f"{ANSWER}\n\n<think>{THOUGHT}",
        f"<thinking>{THOUGHT}</thinking>{ANSWER}",
        f"{THOUGHT}</thinking>{ANSWER}",
        f"<thought>{THOUGHT}</thought>{ANSWER}",
        f"<reasoning>{THOUGHT}</reasoning>{ANSWER}",
        f"{THOUGHT}</reasoning>\n{ANSWER}",
        f"<seed:think>{THOUGHT}</seed:think>{ANSWER}",
        f"[THINK]{THOUGHT}[/THINK]{ANSWER}",
        f"{THOUGHT}[/THINK]{ANSWER}",
        f"◁think▷{THOUGHT}◁/think▷{ANSWER}",
        f"{THOUGHT}◁/think▷{ANSWER}",
        f"<|think|>{THOUGHT}<|/think|>{ANSWER}",
        f"&lt;think&gt;{THOUGHT}&lt;/think&gt;{ANSWER}",
        f"<|begin_of_thought|>{THOUGHT}<|end_of_thought|><|begin_of_solution|>{ANSWER}<|end_of_solution|>",
        f"<unused94>thought\n{THOUGHT}<unused95>{ANSWER}",
        f"<|channel>thought\n{THOUGHT}<channel|>{ANSWER}",
        f'<details type="reasoning">{THOUGHT}</details>{ANSWER}',
        f"<think>{THOUGHT}</think><answer>{ANSWER}</answer>",
        f"{THOUGHT}<answer>{ANSWER}",
        f"{THOUGHT}</think><|begin_of_box|>{ANSWER}<|end_of_box|>",
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}",
        f"<|channel|>analysis<|message|>{THOUGHT}<|channel|>final <|message|>{ANSWER}<|return|>",
        f"analysisThe user wants a caption. {THOUGHT}assistantfinal{ANSWER}",
        f"{ANSWER}<|im_end|>",
        f"{ANSWER}</s>",
    ],
)
def test_only_the_answer_is_left(text: str) -> None:
    response = make_response(text, "stop")
    assert (response.text, response.status) == (ANSWER, "ok")


@pytest.mark.parametrize(
    "text",
    [
        "A sign says <think>.",
        "An analysis of water. The assistant finally smiles.",
        "Analysis of a map [1] with a <b>bold</b> label.",
        "A [thinking] man, in brackets.",
        "A 3 < 4 > 2 formula on a board.",
    ],
)
def test_texts_that_resemble_marks_stay(text: str) -> None:
    assert remove_thoughts(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{THOUGHT}",
        f"◁think▷{THOUGHT}",
        f"[THINK]{THOUGHT}",
        f"<think>{THOUGHT}</think>",
        f"{THOUGHT}</think>\n",
        f"<|channel|>analysis<|message|>{THOUGHT}",
    ],
)
def test_thoughts_without_an_answer_are_an_error(text: str) -> None:
    with pytest.raises(NoResponse, match=r"only thoughts and no answer.*raise max_tokens"):
        make_response(text, "length")
    with pytest.raises(NoResponse, match=r"only thoughts and no answer: switch its thoughts off"):
        make_response(text, "stop")
