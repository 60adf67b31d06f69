"""The keys and values of the tokens that a network has already read."""

from torch import Tensor


class LayerCache:
    """The keys and values of one block.

    Attributes:
        text: Keys and values of the text, [b kv_heads m d]; None before the first forward pass.
    """

    def __init__(self) -> None:
        self.text: tuple[Tensor, Tensor] | None = None
        self._buffers: tuple[Tensor, Tensor] | None = None

    def append(self, start: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write keys and values [b kv_heads n d] of the places from `start`; all of the places until then."""
        stop = start + keys.shape[2]
        if self._buffers is None or self._buffers[0].shape[2] < stop:
            self._buffers = tuple(self._grown(number, keys, start, stop) for number in range(2))  # type: ignore[assignment]
        assert self._buffers is not None
        for buffer, new in zip(self._buffers, (keys, values), strict=True):
            buffer[:, :, start:stop] = new
        return self._buffers[0][:, :, :stop], self._buffers[1][:, :, :stop]

    def _grown(self, number: int, like: Tensor, start: int, stop: int) -> Tensor:
        b, heads, _, dim = like.shape
        old = None if self._buffers is None else self._buffers[number]
        capacity = stop if old is None else max(stop, 2 * old.shape[2])
        buffer = like.new_empty(b, heads, capacity, dim)
        if old is not None:
            buffer[:, :, :start] = old[:, :, :start]
        return buffer


class KeyValueCache:
    """The keys and values of all blocks. It grows with the tokens that were read, by doubling.

    Attributes:
        length: Places whose keys and values it has.
    """

    def __init__(self) -> None:
        self.length = 0
        self._layers: list[LayerCache] = []

    def layer(self, number: int) -> LayerCache:
        """The keys and values of one block."""
        while len(self._layers) <= number:
            self._layers.append(LayerCache())
        return self._layers[number]

    def truncate(self, length: int) -> None:
        """Forget the places from `length`, such as speculative tokens that were rejected.

        Raises:
            ValueError: It has fewer places.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"the cache has {self.length} places, so it cannot be truncated to {length}")
        self.length = length
