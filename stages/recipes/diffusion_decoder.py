"""Curate raw footage, encode latents, and train a diffusion decoder on them and the codes of the same clips.

clipmill run stages/recipes/diffusion_decoder.py footage=DIR store=DIR codes=DIR
"""

from manifests import ClipmillError, NonNegativeInt, PositiveFloat, PositiveInt, Share
from pipeline import Dag
from stages.models_trained.train_decoder import TrainDecoder
from stages.recipes.captions import DEFAULT_CAPTIONS, Captions
from stages.recipes.curate import DEFAULT_CURATION, Curation
from stages.recipes.filters import DEFAULT_FILTERS, Filters
from stages.recipes.footage import DEFAULT_FOOTAGE, Footage, read_footage
from stages.recipes.latents import DEFAULT_ENCODING, Encoding, build_latents


def diffusion_decoder(
    footage: str,
    codes: str,
    filters: Filters = DEFAULT_FILTERS,
    captions: Captions = DEFAULT_CAPTIONS,
    curation: Curation = DEFAULT_CURATION,
    inputs: Footage = DEFAULT_FOOTAGE,
    encoding: Encoding = DEFAULT_ENCODING,
    model: str = "tiny",
    steps: PositiveInt = 2000,
    batch_size: PositiveInt = 4,
    lr: PositiveFloat = 1.5e-3,
    code_dropout: Share = 0.1,
    num_ranks: PositiveInt = 1,
    seed: NonNegativeInt = 0,
) -> Dag:
    """Turn raw footage and its codes into a decoder of these codes, for the recipe autoregressive.

    The clips and windows must be those of the codes: use the same footage and the same knobs of filters,
    curation and latents. In the same store, only the encoding of the latents and the training run.

    Args:
        footage: Folder, file or URL of the videos, or a list of them: .txt, .csv, .jsonl or .parquet. Several
            are separated by commas.
        codes: Folder or URL of the packed codes of the same clips: pack_latents-… of a run of the recipe
            autoregressive, or of latents with a discrete tokenizer.
        model: Size of the diffusion transformer: tiny or small.
        steps: Training steps. Higher trains longer.
        batch_size: Clips per training step, over all ranks. Higher needs more memory and time per step.
        lr: Peak learning rate. Higher learns faster and can diverge.
        code_dropout: Share of clips that lose their codes, for guidance. Higher trains guidance better.
        num_ranks: Training processes. The model is sharded over them with FSDP2. Higher needs more CPUs or
            GPUs.
        seed: Seed of the weights, the order of the clips, the timesteps and the noise.
    """
    if inputs.images:
        raise ClipmillError(
            "the recipe diffusion_decoder trains on clips of videos only",
            where="knob images",
            remedy="run the recipe latents with images=true, and train on its latents with clipmill train",
        )
    dag = Dag("diffusion_decoder")
    videos = read_footage(dag, footage, inputs, curation.extensions, curation.videos_per_part)
    _, encoded = build_latents(videos, filters, captions, curation, encoding)
    train = TrainDecoder(
        codes=codes,
        model=model,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        code_dropout=code_dropout,
        seed=seed,
    )
    dag.save(encoded, "latents")
    dag.save(encoded.launch(train.on(ranks=num_ranks)), "model")
    return dag
