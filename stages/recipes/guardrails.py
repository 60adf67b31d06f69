"""Guardrails of a recipe: checks of prompts and videos, and the rules that act on their verdicts."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, Share
from manifests.errors import InvalidSetting
from pipeline import Rows
from stages.guardrails.blur_faces import BlurFaces
from stages.guardrails.check_prompt import CheckPrompt
from stages.guardrails.check_video import CheckVideo
from stages.guardrails.moderate_prompt import ModeratePrompt
from stages.guardrails.verdict import ALLOW, BLOCK, BLOCKED, SAFE, check_choice

ANNOTATE, OFF = "annotate", "off"
_MODES = (BLOCK, ANNOTATE, OFF)


@dataclass(frozen=True)
class Guardrails:
    """The knobs of the checks. Each check has its own policy: block, annotate (dry run) or off.

    Attributes:
        prompt_check: What the word lists do with a prompt: block, annotate (the verdict is recorded, and
            nothing is dropped) or off.
        prompt_lists: Word lists: default, or YAML files.
        prompt_moderation: What the safety model does with a prompt: block, annotate or off.
        guard_model: Safety model, such as Qwen/Qwen3Guard-Gen-0.6B: its name at guard_endpoint, or a folder
            or OWNER/NAME on the hub. Needed unless prompt_moderation is off.
        guard_endpoint: URL of an OpenAI-compatible server of the safety model. Empty: in the workers.
        guard_patience_s: Seconds for which a run without other work waits for a safety model that is down.
            Then it ends unfinished, and the next run asks again. Higher waits longer.
        guard_format: Format of its replies: qwen3guard or llama_guard.
        guard_controversial: What the label Controversial of Qwen3Guard means: block or allow.
        video_check: What the frame classifier does with a video: block, annotate or off.
        video_model: An open_clip model for the frames. Empty: open_nsfw, which scores only how sexually
            suggestive a frame is.
        video_head: File of the head for video_model.
        video_limits: Classes and limits of the classifier: open_nsfw, or a YAML file.
        video_rule: When a video is blocked: any, share or mean of the frames.
        video_min_share: Share of frames from which on the rule share blocks. Higher keeps more.
        check_errors: What happens if a check could not run: block (fail closed) or allow (the verdict "not
            run" is recorded).
        hide_faces: How faces of videos are hidden: blur, pixelate, or off.
    """

    prompt_check: str = BLOCK
    prompt_lists: tuple[str, ...] = ("default",)
    prompt_moderation: str = OFF
    guard_model: str = ""
    guard_endpoint: str = ""
    guard_patience_s: NonNegativeFloat = ModeratePrompt.patience_s
    guard_format: str = ModeratePrompt.reply_format
    guard_controversial: str = BLOCK
    video_check: str = BLOCK
    video_model: str = ""
    video_head: str = ""
    video_limits: str = CheckVideo.limits
    video_rule: str = CheckVideo.rule
    video_min_share: Share = CheckVideo.min_share
    check_errors: str = BLOCK
    hide_faces: str = OFF


DEFAULT_GUARDRAILS = Guardrails()


def check_prompts(rows: Rows, guardrails: Guardrails, text: str = "prompt") -> Rows:
    """Check a text of each row by word lists and a safety model, and drop the rows that these block.

    Verdicts are rows of the store before any later step works on the text, so every rank of a sampler reads
    the same ones, and a blocked row reaches none of them.

    Args:
        text: Column of the text: prompt, upsampled_prompt or caption.

    Raises:
        InvalidSetting: a knob has a value that is not allowed, or the safety model is missing.
    """
    check_choice("prompt_check", guardrails.prompt_check, _MODES)
    check_choice("prompt_moderation", guardrails.prompt_moderation, _MODES)
    if guardrails.prompt_check != OFF:
        check = CheckPrompt(text=text, lists=guardrails.prompt_lists)
        rows = rows.annotate(check.on(name=f"check_{text}"))
        rows = _act(rows, guardrails.prompt_check, guardrails, f"{text}_check", f"{text} blocked by a list")
    if guardrails.prompt_moderation == OFF:
        return rows
    if not guardrails.guard_model:
        raise InvalidSetting(
            "prompt_moderation is on, and no safety model is named",
            remedy="set guard_model, or prompt_moderation=off",
        )
    moderate = ModeratePrompt(
        text=text,
        model=guardrails.guard_model,
        endpoint=guardrails.guard_endpoint,
        patience_s=guardrails.guard_patience_s,
        reply_format=guardrails.guard_format,
        controversial=guardrails.guard_controversial,
        on_error=_on_error(guardrails.prompt_moderation, guardrails),
    )
    rows = rows.annotate(moderate.on(name=f"moderate_{text}"))
    mode = guardrails.prompt_moderation
    return _act(rows, mode, guardrails, f"{text}_moderation", f"{text} blocked by the safety model")


def check_videos(rows: Rows, guardrails: Guardrails) -> Rows:
    """Classify the frames of each row's video, clip or stills, drop blocked rows, and hide faces.

    Raises:
        InvalidSetting: a knob has a value that is not allowed.
    """
    check_choice("video_check", guardrails.video_check, _MODES)
    if guardrails.video_check != OFF:
        stage = CheckVideo(
            model=guardrails.video_model,
            head=guardrails.video_head,
            limits=guardrails.video_limits,
            rule=guardrails.video_rule,
            min_share=guardrails.video_min_share,
            on_error=_on_error(guardrails.video_check, guardrails),
        )
        rows = _act(rows.annotate(stage), guardrails.video_check, guardrails, "video_check", "video blocked")
    if guardrails.hide_faces == OFF:
        return rows
    return rows.annotate(BlurFaces(method=guardrails.hide_faces))


def _on_error(mode: str, guardrails: Guardrails) -> str:
    """A dry run rejects nothing."""
    return ALLOW if mode == ANNOTATE else guardrails.check_errors


def _act(rows: Rows, mode: str, guardrails: Guardrails, column: str, because: str) -> Rows:
    """Drop the rows that a check blocked, and those that it did not check, unless the policy allows them."""
    check_choice("check_errors", guardrails.check_errors, (BLOCK, ALLOW))
    if mode == ANNOTATE:
        return rows
    where = f"{column} == {SAFE!r}" if guardrails.check_errors == BLOCK else f"{column} != {BLOCKED!r}"
    return rows.keep(where, because=because)
