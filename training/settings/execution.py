"""Where and how a training runs. Except for precision, they change no result beyond the order of sums."""

from dataclasses import dataclass

from manifests import PositiveInt


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings:
    """Where and how a training runs. Except for precision, they change no result beyond the order of sums.

    Attributes:
        grad_accum_steps: Microbatches per step and rank. Higher values need less memory.
        dp_replicate: Copies of the whole model. The other data-parallel ranks shard the parameters.
        context_parallel: Ranks that share the tokens of one clip.
        context_parallel_method: How attention covers the tokens of all context ranks. ulysses exchanges heads and
            tokens, and needs at least one head per rank; allgather gathers keys and values, with more memory;
            ring passes them around, with more and smaller transfers.
        precision: Dtype of the forward and backward pass: fp32, bf16, or auto, which is bf16 on a GPU.
        activation_checkpointing: Compute activations again in the backward pass: less memory, more time.
        checkpoint_interval: Steps between checkpoints.
        num_threads: CPU threads per rank. It determines the order of sums, and so the last bits.
    """

    grad_accum_steps: PositiveInt = 1
    dp_replicate: PositiveInt = 1
    context_parallel: PositiveInt = 1
    context_parallel_method: str = "ulysses"
    precision: str = "auto"
    activation_checkpointing: bool = False
    checkpoint_interval: PositiveInt = 100
    num_threads: PositiveInt = 2
