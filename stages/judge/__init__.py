"""Questions about generated and reference videos, answered by a vision-language model."""
