"""The networks of denoisers: their classes by name, and their predefined sizes."""

from typing import TYPE_CHECKING, Any

from training.networks.config import MODEL_CONFIGS, VideoDiTConfig
from training.networks.recurrent.config import CONVRNN_CONFIGS, ConvRNNConfig
from training.networks.unet_config import UNET_CONFIGS, UNet3DConfig

if TYPE_CHECKING:
    from training.networks.recurrent.conv_rnn import ConvRNN
    from training.networks.unet3d import UNet3D
    from training.networks.video_dit import VideoDiT

NetworkConfig = VideoDiTConfig | UNet3DConfig | ConvRNNConfig

CLASS_NAME = "_class_name"  # as in config.json of diffusers
_CONFIG_CLASSES: dict[str, type[NetworkConfig]] = {
    "VideoDiT": VideoDiTConfig,
    "UNet3D": UNet3DConfig,
    "ConvRNN": ConvRNNConfig,
}


def model_names() -> tuple[str, ...]:
    """The predefined sizes."""
    return (*MODEL_CONFIGS, *UNET_CONFIGS, *CONVRNN_CONFIGS)


def find_config(name: str) -> NetworkConfig:
    """The config of a predefined size.

    Raises:
        KeyError: There is no size of this name.
    """
    configs: dict[str, NetworkConfig] = {**MODEL_CONFIGS, **UNET_CONFIGS, **CONVRNN_CONFIGS}
    return configs[name]


def class_name(config: NetworkConfig) -> str:
    """The name of the class of the network that has this config."""
    return next(name for name, kind in _CONFIG_CLASSES.items() if isinstance(config, kind))


def config_from_json(values: dict[str, Any]) -> NetworkConfig:
    """The config whose fields these are; "_class_name" is the class of the network.

    Raises:
        KeyError: There is no such class.
        TypeError: A field is unknown.
        ValueError: A value is not allowed.
    """
    fields = dict(values)
    return _CONFIG_CLASSES[fields.pop(CLASS_NAME)](**fields)


def build_network(config: NetworkConfig, seed: int = 0) -> "VideoDiT | UNet3D | ConvRNN":
    """The network of this config, with weights from `seed`; on the meta device it has none."""
    from training.networks.recurrent.conv_rnn import ConvRNN
    from training.networks.unet3d import UNet3D
    from training.networks.video_dit import VideoDiT

    if isinstance(config, ConvRNNConfig):
        return ConvRNN(config, seed)
    return UNet3D(config, seed) if isinstance(config, UNet3DConfig) else VideoDiT(config, seed)
