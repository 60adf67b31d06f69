"""Clips that two tokenizers encoded: shards of latents and shards of codes, joined by the id of the clip.

The codes are the condition of a diffusion decoder. All ids are compared before the first clip is read.
"""

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.data.order import SampleIndex
from training.data.samples.decode import Sample
from training.data.shard import CodeSpec, Shard, fetch
from training.data.shards import LatentShards
from training.errors import LatentMismatchError

REMEDY = "encode the same clips, at the same size and frame rate, with both tokenizers"


class PairedShards(LatentShards):
    """`LatentShards` whose samples have the codes of the same clip.

    Args:
        pairs: Paths or URLs of (tar, index) of the latents.
        code_pairs: Those of the codes. Codes of other clips have no effect.
        code_spec: How the codes of the model were made, if the model is already trained.
        options: Options of `LatentShards`.

    Attributes:
        code_spec: How the codes were made.

    Raises:
        LatentMismatchError: See `LatentShards`. Or a clip has no codes, or codes of another size, length or
            frame rate; or they are no codes, or the grids of the tokenizers do not fit.
    """

    def __init__(
        self,
        pairs: Iterable[tuple[str, str]],
        code_pairs: Iterable[tuple[str, str]],
        *,
        code_spec: CodeSpec | None = None,
        **options: Any,
    ) -> None:
        super().__init__(pairs, **options)
        frames = options.get("max_frames", 0)
        self._codes = LatentShards(code_pairs, max_frames=frames, mixed_fps=True, views=self.views)
        first = self._codes.buckets[0][0]
        tokenizer, digest, stride, _, dtype = self._codes.spec
        if not first.codebook_size or "int" not in dtype:
            raise LatentMismatchError(
                f"these are latents ({dtype}) of {tokenizer}, and not codes",
                where=first.tar,
                remedy="name shards of a discrete tokenizer, such as tokenizer=small-discrete",
            )
        self.code_spec = CodeSpec(tokenizer, digest, stride, first.codebook_size)
        _check_codes(self.code_spec, code_spec, first.tar)
        self._scale = _scale(self.code_spec, self.spec.stride, first.tar)
        self._partners = self._join()

    def read(self, bucket: int, index: SampleIndex) -> Sample:
        """Read one sample and its codes; see `LatentShards.read`.

        Raises:
            LatentMismatchError: Or a code is not one of the codebook.
        """
        sample = super().read(bucket, index)
        place = int(self._partners[bucket][index.shard][index.sample])
        number = int(np.searchsorted(self._ends, place, side="right"))
        code_bucket, code_shard, shard = self._code_list[number]
        row = place - int(self._ends[number]) + shard.samples
        codes = self._codes.read(code_bucket, SampleIndex(code_shard, row)).latents[0].long()
        return sample._replace(codes=codes)

    @cached_property
    def _code_list(self) -> list[tuple[int, int, Shard]]:
        """All shards of codes, with their bucket and their number in it."""
        return [
            (b, s, shard) for b, shards in enumerate(self._codes.buckets) for s, shard in enumerate(shards)
        ]

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        """The end of each shard of codes, counted in samples over all of them."""
        return np.cumsum([shard.samples for _, _, shard in self._code_list])

    def _join(self) -> list[list[npt.NDArray[np.int64]]]:
        """Per bucket and shard, the number of the partner of each sample among all codes."""
        shards = [shard for bucket in self.buckets for shard in bucket]
        with ThreadPoolExecutor(16) as pool:
            keys = list(pool.map(_read_keys, shards))
            code_keys = pa.concat_arrays(list(pool.map(_read_keys, [each[2] for each in self._code_list])))
        found = iter([pc.index_in(each, value_set=code_keys) for each in keys])
        names = iter(keys)
        return [[self._check(shard, next(found), next(names)) for shard in bucket] for bucket in self.buckets]

    def _check(self, shard: Shard, found: pa.Array, keys: pa.Array) -> npt.NDArray[np.int64]:
        """The partners of the clips of a shard, each of which must fit."""
        if found.null_count:
            missing = keys.filter(found.is_null())
            raise LatentMismatchError(
                f"{len(missing)} of {len(keys)} clips have no codes, such as {missing[0].as_py()}",
                where=shard.tar,
                remedy=REMEDY,
            )
        partners: npt.NDArray[np.int64] = found.to_numpy().astype(np.int64)
        t, h, w = self._crop_shape(shard.shape)[1:]
        for number in np.unique(np.searchsorted(self._ends, partners, side="right")):
            bucket, _, other = self._code_list[number]
            _, *code_shape = self._codes.shapes[bucket]
            expected = [t, *(size / scale for size, scale in zip((h, w), self._scale, strict=True))]
            if code_shape != expected or (other.fps != shard.fps and t > 1):
                first = np.searchsorted(self._ends, partners, side="right").tolist().index(number)
                raise LatentMismatchError(
                    f"the codes of {keys[first].as_py()} are {_size(code_shape)} at {other.fps:g} fps, and"
                    f" its latents {_size([t, h, w])} at {shard.fps:g} fps need {_size(expected)}",
                    where=f"{shard.tar} and {other.tar}",
                    remedy=REMEDY,
                )
        return partners


def open_latents(
    pairs: Iterable[tuple[str, str]],
    code_pairs: Iterable[tuple[str, str]],
    code_spec: CodeSpec | None = None,
    **options: Any,
) -> LatentShards:
    """`PairedShards`, or `LatentShards` if there are no codes."""
    code_pairs = list(code_pairs)
    if code_pairs:
        return PairedShards(pairs, code_pairs, code_spec=code_spec, **options)
    return LatentShards(pairs, **options)


def code_spec_of(shards: LatentShards) -> CodeSpec | None:
    """How the codes were made that are read with these latents; None if there are none."""
    return shards.code_spec if isinstance(shards, PairedShards) else None


def _read_keys(shard: Shard) -> pa.Array:
    """The ids of the samples of a shard, in the order of its index."""
    keys = pq.read_table(io.BytesIO(fetch(shard.index)), columns=["key"])["key"].unique().cast(pa.string())
    if len(keys) != shard.samples:
        raise LatentMismatchError(
            f"the index has {len(keys)} samples, not {shard.samples}", where=shard.index
        )
    return keys


def _check_codes(spec: CodeSpec, expected: CodeSpec | None, where: str) -> None:
    """Refuse codes that were made differently from those of the model."""
    for field, value, other in zip(CodeSpec._fields, spec, expected or spec, strict=True):
        if value != other:
            raise LatentMismatchError(
                f"the codes do not match: {field} is {value}, but {other} in the model",
                where=where,
                remedy="encode the clips with the discrete tokenizer of the model",
            )


def _scale(codes: CodeSpec, stride: Sequence[int], where: str) -> tuple[int, int]:
    """Latents per code along height and width."""
    time, height, width = codes.stride
    if time != stride[0] or height % stride[1] or width % stride[2]:
        raise LatentMismatchError(
            f"the codes have a stride of {_size(codes.stride)}, and the latents of {_size(stride)}: time must"
            " be equal, and height and width a multiple",
            where=where,
            remedy="choose tokenizers whose grids fit, such as DV8x16x16 and CV8x8x8",
        )
    return height // stride[1], width // stride[2]


def _size(sizes: Iterable[float]) -> str:
    return " x ".join(f"{size:g}" for size in sizes)
