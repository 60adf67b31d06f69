"""Finds speech in audio with the network of Silero VAD, whose weights come with `silero-vad` (MIT license).

onnxruntime runs the network on one thread. The package itself is not imported: it needs torchaudio.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.models.weights import installed_weights, open_onnx

RATE_HZ = 16_000
FRAME = 512  # samples of one probability
_CONTEXT = 64  # samples before the frame, which the network also sees


class SpeechDetector:
    """The network, loaded. It keeps a state: the audio of one file is given in order, in any pieces.

    Raises:
        WeightsError: `silero-vad` is not installed, or its weights cannot be read.
    """

    def __init__(self) -> None:
        self._network = open_onnx(weights_file(), "the speech detector", "install silero-vad again")
        self.reset()

    def reset(self) -> None:
        """Begin another file."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._samples = np.zeros(_CONTEXT, np.float32)  # the context, then samples of an incomplete frame

    def __call__(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the probability of speech of each frame that is complete, 0 to 1.

        Args:
            samples: The next samples of the file at 16 kHz, -1 to 1.
        """
        self._samples = np.concatenate([self._samples, samples])
        count = (len(self._samples) - _CONTEXT) // FRAME
        found = np.empty(count, np.float32)
        for k in range(count):
            frame = self._samples[k * FRAME :][None, : _CONTEXT + FRAME]
            inputs = {"input": frame, "state": self._state, "sr": np.array(RATE_HZ, np.int64)}
            probability, self._state = self._network.run(None, inputs)
            found[k] = probability[0, 0]
        self._samples = self._samples[count * FRAME :]
        return found


def weights_file() -> Path:
    """Return the ONNX file that comes with `silero-vad`.

    Raises:
        WeightsError: It is not installed.
    """
    return installed_weights(
        "silero_vad", "data/silero_vad.onnx", "the speech detector", "pip install silero-vad"
    )
