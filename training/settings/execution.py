"""Where and how a training runs. Except for precision, they change no result beyond the order of sums."""

from dataclasses import dataclass

from manifests import PositiveInt


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings:
    """Where and how a training runs. Except for precision, they change no result beyond the order of sums.

    Attributes:
        grad_accum_steps: Microbatches per step and rank. Higher values need less memory.
        sync_each_batch: Reduce the gradients of each microbatch apart, not once per step: more communication
            and less memory, because no rank keeps the gradients of the whole model.
        dp_replicate: Copies of the whole model. The other data-parallel ranks shard the parameters.
        context_parallel: Ranks that share the tokens of one clip.
        context_parallel_method: How attention covers the tokens of all context ranks. ulysses exchanges heads
            and tokens, and needs a head per rank; allgather gathers keys and values, with more memory;
            ring passes them around, with more and smaller transfers.
        precision: Dtype of the forward and backward pass: fp32, bf16, or auto, which is bf16 on a GPU.
        activation_checkpointing: What the backward pass computes again: none (fastest, most memory),
            selective (all but the outputs of matrix products and of attention), or full (whole blocks).
        compile: Compile each block with torch.compile. The first steps take longer, the others less time.
        init_timeout_seconds: Time limit of communication where a rank may have more to do: at the start, in
            the first step of a stage or of clips of a new size, during validation and previews, and while
            the model is written. Checkpoints have 30 min.
        train_timeout_seconds: Time limit of communication in other steps. A training ends when a rank has not
            answered for this time, for example because a read of clips takes longer.
        checkpoint_interval: Steps between checkpoints.
        async_checkpoint: Write checkpoints while the training goes on, from a copy of the state in memory.
        num_threads: CPU threads per rank. It determines the order of sums, and so the last bits.
    """

    grad_accum_steps: PositiveInt = 1
    sync_each_batch: bool = False
    dp_replicate: PositiveInt = 1
    context_parallel: PositiveInt = 1
    context_parallel_method: str = "ulysses"
    precision: str = "auto"
    activation_checkpointing: str = "none"
    compile: bool = False
    init_timeout_seconds: PositiveInt = 600
    train_timeout_seconds: PositiveInt = 60
    checkpoint_interval: PositiveInt = 100
    async_checkpoint: bool = True
    num_threads: PositiveInt = 2
