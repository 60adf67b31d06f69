"""Codes of a discrete tokenizer as the condition of a training: a diffusion decoder."""

from dataclasses import dataclass

from manifests import PositiveInt, Share


@dataclass(frozen=True, kw_only=True)
class CodeSettings:
    """Codes of a discrete tokenizer as the condition of a training: a diffusion decoder.

    Attributes:
        codes: Folder or URL of the codes of the same clips by a discrete tokenizer, or a .txt that lists
            tars. "" trains without codes.
        code_tokenizer: Path of the tokenizer of the codes, if it is not a bundled one. Its FSQ determines the
            initial embeddings.
        code_dropout: Share of clips that lose their codes, for guidance. Higher values make sampling without
            codes better.
        code_channels: Width of the embedding of a code, which is concatenated to the latents. Higher values
            can keep more of a code, and need more memory.
        code_residual: The tokenizer of the codes decodes each clip, that of the latents encodes this video
            again, and the network denoises the difference to these latents, divided by its standard deviation
            per channel. true begins where the decoder of the codes ends; it computes both tokenizers at each
            step, except for clips that are still in memory.
    """

    codes: str = ""
    code_tokenizer: str = ""
    code_dropout: Share = 0.2
    code_channels: PositiveInt = 32
    code_residual: bool = False
