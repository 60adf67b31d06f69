"""The steps from images of the footage to shards of images, beside the steps of the videos.

The steps are those of videos with other names. Measurements and rules of motion and time do not apply.
"""

from typing import Any

from pipeline import ConfiguredStage, Dag, Rows, Stage
from pipeline.dag import snake_case
from stages.captions.caption_clip import CaptionClip
from stages.captions.describe_clip import DescribeClip
from stages.duplicates.embed_clip import EmbedClip
from stages.duplicates.find_duplicates import FindDuplicates
from stages.duplicates.search_pairs import SearchPairs
from stages.images.keep_image import KeepImage
from stages.ingest.list_videos import ListVideos
from stages.ingest.probe_video import ProbeVideo
from stages.latents.encode_text import EncodeText
from stages.latents.pack_latents import PackLatents
from stages.latents.split_windows import SplitWindows
from stages.quality.measure_light import MeasureLight
from stages.quality.measure_sharpness import MeasureSharpness
from stages.recipes.captions import Captions
from stages.recipes.filters import Filters
from stages.recipes.footage import Footage, keep_where, list_columns
from stages.recipes.semantics import ModelPlace
from stages.scan.scan_video import ScanVideo
from stages.shards.pack_shards import PackShards
from stages.shards.split_clips import SplitClips
from stages.shots.find_shots import FindShots
from stages.shots.score_boundaries import ScoreBoundaries


def of_images(stage: Stage[Any, Any]) -> ConfiguredStage:
    """The stage as a step for images."""
    return stage.on(name=f"{snake_case(type(stage).__name__)}_of_images")


def save_images(
    dag: Dag, footage: str, knobs: Footage, filters: Filters, captions: Captions, curation: Any
) -> Rows | None:
    """Add the steps from footage to packed images and the output `images`, if the knobs ask for them.

    Args:
        curation: The `Curation` of the recipe.
    """
    if not knobs.images:
        return None
    rows = _measure(dag, footage, knobs, curation)
    rules = {
        f"highlight_luma > {filters.min_highlight_luma}": "image too dark",
        f"overexposed_share < {filters.max_overexposed_share}": "image overexposed",
        f"sharpness > {filters.min_sharpness}": "image blurred",
    }
    for where, because in rules.items():
        rows = rows.keep(where, because=because)
    rows = rows.annotate(of_images(EmbedClip(model=curation.embedding_model)))
    captioned = _caption(_drop_duplicates(rows, curation), captions)
    kept = captioned.annotate(KeepImage().on(name="keep_images"))
    pack = PackShards(
        shard_bytes=curation.shard_mb * 2**20,
        fps=1.0,
        resolutions=curation.resolutions,
        aspect_ratios=curation.aspect_ratios,
        aspect_tolerance=curation.aspect_tolerance,
        bucket_frames=(1,),
    )
    packed = kept.survey(of_images(pack))
    dag.save(packed, "images")
    return packed


def _measure(dag: Dag, footage: str, knobs: Footage, curation: Any) -> Rows:
    """Add the source of images, and their measurements."""
    listed = ListVideos(
        root=footage,
        extensions=curation.extensions,
        list_columns=list_columns(footage, knobs, images=True),
        media="images",
        allow_private_urls=knobs.allow_private_urls,
    )
    images = dag.read(of_images(listed), rows_per_part=curation.videos_per_part)
    probed = keep_where(images, knobs, "image excluded by where").annotate(of_images(ProbeVideo()))
    scanned = probed.annotate(of_images(ScanVideo()))
    scored = scanned.annotate(of_images(ScoreBoundaries()))
    return scored.expand(of_images(FindShots())).annotate(
        of_images(MeasureLight()), of_images(MeasureSharpness())
    )


def _drop_duplicates(images: Rows, curation: Any) -> Rows:
    """Add the search for similar images, and the rule. Images are not compared with videos."""
    rows = images.survey(of_images(SearchPairs()))
    if curation.duplicates != "off":
        find = FindDuplicates(
            duplicates=curation.duplicates,
            max_copy_similarity=curation.max_copy_similarity,
            max_semantic_similarity=curation.max_semantic_similarity,
        )
        rows = rows.survey(of_images(find))
    if curation.validation_share or "list_split" in images.columns:
        similarity = curation.max_semantic_similarity
        split = SplitClips(validation_share=curation.validation_share, duplicate_similarity=similarity)
        rows = rows.survey(of_images(split))
    return rows if curation.duplicates == "off" else rows.keep("not duplicate", because="duplicate image")


def _caption(images: Rows, captions: Captions) -> Rows:
    """Add the captions: of the model, or of the measurements."""
    if not captions.caption_model:
        return images.annotate(of_images(DescribeClip()))
    caption = CaptionClip(
        model=captions.caption_model,
        endpoint=captions.caption_endpoint,
        prompt=captions.caption_prompt,
        refine_prompt=captions.caption_refine,
        min_clip_frames=1,
    )
    place = ModelPlace(captions.caption_endpoint, captions.caption_gpus)
    step = caption.on(name="caption_images", gpus=place.gpus, batch=place.batch)
    return images.annotate(step).keep("caption_status == 'ok'", because="image caption cut off or refused")


def save_image_latents(dag: Dag, images: Rows | None, encoding: Any, shard_mb: int) -> None:
    """Add the steps from packed images to packed latents of one frame, and the output `image_latents`."""
    if images is None:
        return
    if encoding.text_encoder:
        text = EncodeText(text_encoder=encoding.text_encoder, stored_text=encoding.stored_text)
        images = images.annotate(of_images(text))
    frames = images.expand(of_images(SplitWindows(fps=encoding.latent_fps)))
    encoded = frames.annotate(of_images(encoding.stage()))
    dag.save(encoded.survey(of_images(PackLatents(shard_bytes=shard_mb * 2**20))), "image_latents")
