"""Parts of error messages: the closest known name, a short list, and a line with a mark under its error."""

import difflib
from collections.abc import Iterable

_WIDTH = 96  # characters of a line that are shown around the error
_INDENT = " " * 10  # the width of "  where:  ", so that the mark is below the line
# Old names of knobs, settings, columns and stages: OLD=NEW, or OLD=NEW,NEW if several names replaced it.
_RENAMES = """
cut=min_cut_score transition=min_transition_score min_s=min_duration_s max_s=max_duration_s
darkest=min_highlight_luma brightest=max_overexposed_share flickering=max_flicker softest=min_sharpness
noisiest=max_noise coarsest=max_quantizer_step stillest=max_still_share
frozen=max_frozen_share slides=max_slideshow_share borders=max_border_share overlays=max_overlay_share
emptiest=min_information fewest_words=min_caption_words most_words=max_caption_words
rambling=max_caption_repetition stock=max_caption_duplicates against=released_stores
alike=max_semantic_similarity,min_similarity,similar_ids threshold=max_semantic_similarity
floor=min_similarity duplicate_similarity=max_semantic_similarity,max_copy_similarity
size=model batch=batch_size rate=lr warmup=warmup_steps shape=lr_schedule decay=weight_decay shift=flow_shift
ranks=num_ranks context=context_parallel replicate=dp_replicate accumulate=grad_accum_steps
recompute=activation_checkpointing save_every=checkpoint_interval threads=num_threads
average_share=ema_sigma_rel latent_frames=max_latent_frames frames=num_frames,max_frames
sample_steps=num_inference_steps steps=num_inference_steps guidance=guidance_scale captions=prompt
multiple_px=size_multiple_px stills=max_stills,stills_per_third towers=model pairs=prompt_pairs
key_env=api_key_env options=extra_body at_once=max_concurrent_requests tries=max_attempts
refine=refine_prompt picture_fps=sample_fps picture_px=image_px pictures=max_images whole=combine_windows
window_least=min_window_frames window_fewest=min_clip_frames lengths=bucket_frames
vectors=include_embeddings apart=separate_tars share=validation_share linked_from=duplicate_similarity
MeasurePace=MeasureSpeed FindDuplicatesByLooks=FindDuplicatesByAesthetics
light_reach=highlight_luma light_swing=light_range dark_share=underexposed_share
bright_share=overexposed_share haste=speed_score coarseness=quantizer_step colourfulness=colorfulness
sharpness_median=sharpness sharpness_lowest=sharpness_min mark_share=logo_share line_share=subtitle_share
overlay_moved_share=moving_area_share true_fps=effective_fps picture_information=frame_information
resting_text_share=ambiguous_text_share aesthetic_lowest=aesthetic_min technical_lowest=technical_min
caption_repeated_share=caption_repetition caption_twins=caption_duplicates clip_way=clip_method
twin=duplicate_of twin_similarity=duplicate_similarity shipped=released_ids
"""
_NEW_NAMES = {old: new.split(",") for old, _, new in (entry.partition("=") for entry in _RENAMES.split())}


def closest_name(name: str, known: Iterable[str]) -> str:
    """The known name that replaced `name`, else the most similar one, or ""."""
    names = list(known)
    replaced = [new for new in _NEW_NAMES.get(name, ()) if new in names]
    return next(iter(replaced or difflib.get_close_matches(name, names, n=1)), "")


def suggest_names(name: str, known: Iterable[str]) -> str:
    """The question "did you mean …?", or "".

    It has up to 3 names of which `name` is a word, such as shard_key for key; else the closest name.
    """
    names = list(known)
    found = [] if name in _NEW_NAMES else [each for each in names if f"_{name}_" in f"_{each}_"][:3]
    near = closest_name(name, names)
    found = found or ([near] if near else [])
    return f"did you mean {' or '.join(map(repr, found))}?" if found else ""


def join_names(names: Iterable[str], max_names: int = 12) -> str:
    """The first `max_names` names, separated by commas, and how many more there are."""
    every = list(names)
    rest = f" and {len(every) - max_names} more" if len(every) > max_names else ""
    return (", ".join(every[:max_names]) or "none") + rest


def mark_position(line: str, start: int, size: int) -> str:
    """The part of `line` around character `start`, with a mark below `size` characters from there on."""
    first = max(0, start - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = line[first : first + _WIDTH]
    before = "… " if first else ""
    after = " …" if first + _WIDTH < len(line) else ""
    at = start - first + len(before)
    mark = "^" * max(1, min(size, len(shown) + len(before) - at))
    return f"{before}{shown}{after}\n{_INDENT}{' ' * at}{mark}"
