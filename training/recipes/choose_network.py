"""Chooses the config of the network of a training: that of a model or of init_from, and what it reads."""

from dataclasses import replace

from training.conditions.rig import find_neighbors
from training.data.codes.paired_shards import code_spec_of
from training.data.shard import CodeSpec
from training.data.shards import LatentShards
from training.errors import SettingError
from training.networks.config import VideoDiTConfig
from training.networks.recurrent.config import ConvRNNConfig
from training.networks.registry import NetworkConfig, class_name, find_config
from training.networks.unet_config import UNet3DConfig
from training.recipes.config import TrainingConfig, TrainingSettings
from training.recipes.initial_weights import InitialWeights
from training.recipes.sampling import open_tokenizer
from training.settings.views import AUTO, parse_view_neighbors
from training.tokenizers.causal import CausalTokenizer
from training.tokenizers.weights import pixels_patch


def choose_network(
    config: TrainingConfig,
    shards: LatentShards,
    initial: InitialWeights | None,
    residual_std: tuple[float, ...] = (),
) -> tuple[NetworkConfig, str]:
    """The config of the network, and the digest of its initial weights; "" if they are random.

    Args:
        config: The settings.
        shards: The clips.
        initial: The initial weights.
        residual_std: With `code_residual`, what `read_residual_std` returns.
    """
    codes = code_spec_of(shards)
    if initial is None:
        network = replace(find_config(config.model), channels=shards.spec.channels)
        network = read_given(network, config)
        network = read_codes(network, config, codes, residual_std) if codes else network
        network = _with_conditions(network, config, shards)
        network = read_planes(network, config, pixels_patch(shards.spec.tokenizer))
        return read_views(network, config, shards), ""
    initial.check_latents(shards.spec, codes)
    is_residual = isinstance(initial.network, VideoDiTConfig) and bool(initial.network.code_residual_std)
    if codes and is_residual != config.code_residual:
        raise SettingError(
            f"code_residual is {config.code_residual}, but {is_residual} in the model of init_from",
            remedy=f"set code_residual={str(is_residual).lower()}",
        )
    if initial.network.concat_last_given != config.given_residual:
        raise SettingError(
            f"given_residual is {config.given_residual}, but {initial.network.concat_last_given} in the model"
            " of init_from",
            remedy="leave given_residual out",
        )
    filters = initial.network.given_filters if isinstance(initial.network, UNet3DConfig) else 0
    if config.given_filters not in (0, filters):
        raise SettingError(
            f"given_filters is {config.given_filters}, but {filters} in the model of init_from",
            remedy="leave given_filters out",
        )
    initial.check_conditions(shards.condition_spec)
    network = _with_conditions(initial.network, config, shards)
    network = read_planes(network, config, pixels_patch(shards.spec.tokenizer))
    return read_views(network, config, shards), initial.digest()


def read_given(network: NetworkConfig, config: TrainingSettings) -> NetworkConfig:
    """The config of a network that reads the last given frame, as `given_residual` and `given_filters` say.

    Raises:
        SettingError: The network has no filters of it.
    """
    if config.given_filters and not (isinstance(network, UNet3DConfig) and config.given_residual):
        raise SettingError(
            f"given_filters is {config.given_filters}, which needs a 3-D U-Net and given_residual",
            remedy="set given_residual=true and model=unet3d-nano, or leave given_filters out",
        )
    if not config.given_residual:
        return network
    if isinstance(network, UNet3DConfig):
        return replace(network, concat_last_given=True, given_filters=config.given_filters)
    return replace(network, concat_last_given=True)


def read_planes(network: NetworkConfig, config: TrainingSettings, patch: int) -> NetworkConfig:
    """The config of a network that also renders the last given frame, as `given_planes` says.

    Args:
        network: The config of a network that reads what else it reads.
        config: The settings.
        patch: Width in px of the patches that latents are; 0 for latents that are no pixels.

    Raises:
        SettingError: The network cannot, or it has other planes.
    """
    planes = config.given_planes
    if not planes:
        return network
    if not (isinstance(network, UNet3DConfig) and network.concat_last_given and network.camera_injection):
        raise SettingError(
            f"given_planes is {planes}, which needs a 3-D U-Net, given_residual and a camera",
            remedy="set model=unet3d-nano given_residual=true conditions=camera, or leave given_planes out",
        )
    known = network.given_planes, network.nearest_plane
    if known[0] and known != (planes, config.nearest_plane):
        raise SettingError(
            f"given_planes is {planes} and nearest_plane {config.nearest_plane:g}, but {known[0]} and"
            f" {known[1]:g} in the model of init_from",
            remedy="leave given_planes and nearest_plane out",
        )
    if planes == 1:
        raise SettingError("given_planes is 1", remedy="use at least 2, such as 16, or 0 for none")
    return replace(network, given_planes=planes, nearest_plane=config.nearest_plane, patch=max(patch, 1))


def _with_conditions(network: NetworkConfig, config: TrainingConfig, shards: LatentShards) -> NetworkConfig:
    """The config of a network that also reads the conditions of the shards."""
    spec = shards.condition_spec
    if spec is None:
        return network
    action_dim = len(spec.action.names) * shards.spec.stride[0] if spec.action else 0
    trajectory_dim = 3 * spec.trajectory.points if spec.trajectory else 0
    has_camera = spec.camera is not None
    return read_frame_conditions(network, config.camera_injection, action_dim, has_camera, trajectory_dim)


def read_frame_conditions(
    network: NetworkConfig,
    camera_injection: str,
    action_dim: int,
    has_camera: bool,
    trajectory_dim: int = 0,
) -> NetworkConfig:
    """The config of a network that also reads actions, a camera or a trajectory.

    Args:
        network: The config of the network.
        camera_injection: Where the rays of a camera enter it, as in the settings.
        action_dim: Numbers of all actions of a latent frame; 0: it reads no actions.
        has_camera: Whether it reads a camera.
        trajectory_dim: Numbers of a trajectory; 0: it reads none.

    Raises:
        SettingError: The network cannot, or it reads the camera elsewhere.
    """
    is_transformer = isinstance(network, VideoDiTConfig)
    if trajectory_dim and not is_transformer:
        raise SettingError(
            f"a {class_name(network)} cannot read a trajectory",
            remedy="choose a transformer, such as model=tiny, or leave trajectory out of conditions",
        )
    if has_camera and not is_transformer and camera_injection != "channels":
        raise SettingError(
            f"a {class_name(network)} reads a camera as channels of its input, not by {camera_injection}",
            remedy="set camera_injection=channels, or choose a transformer, such as model=tiny",
        )
    if has_camera and network.camera_injection not in (None, camera_injection):
        raise SettingError(
            f"camera_injection is {camera_injection}, but {network.camera_injection} in init_from",
            remedy="leave camera_injection out",
        )
    injection = camera_injection if has_camera else None
    if not isinstance(network, VideoDiTConfig):
        return replace(network, action_dim=action_dim, camera_injection=injection)
    return replace(network, action_dim=action_dim, camera_injection=injection, trajectory_dim=trajectory_dim)


def read_views(network: NetworkConfig, config: TrainingConfig, shards: LatentShards) -> NetworkConfig:
    """The config of a network that denoises the views of several cameras, if the settings name several.

    Raises:
        SettingError: The network cannot, or it is one of other cameras, or a neighbor is none of them, or
            neighbors are to be found and the poses of the cameras are not read.
    """
    views = config.view_names if len(config.view_names) > 1 else ()
    known = network.views
    if known and known != views:
        raise SettingError(
            f"the model of init_from has the cameras {', '.join(known)}, not {config.views or 'one camera'}",
            remedy=f"set views={','.join(known)}",
        )
    neighbors = _neighbors(config, shards, views)
    if not views:
        return network
    if isinstance(network, ConvRNNConfig) or (isinstance(network, UNet3DConfig) and not network.given_planes):
        raise SettingError(
            f"a {class_name(network)} cannot denoise the views of several cameras",
            remedy="choose a transformer, such as model=tiny, a 3-D U-Net with given_planes, or one camera",
        )
    return replace(network, views=views, view_neighbors=neighbors)


def _neighbors(
    config: TrainingConfig, shards: LatentShards, views: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """The pairs of cameras that are neighbors: those that are named, or those that overlap in the rig."""
    if config.view_neighbors.strip() != AUTO or not views:
        return parse_view_neighbors(config.view_neighbors, views)
    spec = shards.condition_spec
    if spec is None or spec.camera is None:
        raise SettingError(
            "view_neighbors is auto, and the poses of the cameras are not read",
            remedy="add camera to conditions, or name the neighbors, such as front:left+right",
        )
    return find_neighbors(shards.read_rig(), config.min_view_overlap, config.view_overlap_distance)


def read_codes(
    network: NetworkConfig, config: TrainingConfig, codes: CodeSpec, residual_std: tuple[float, ...] = ()
) -> NetworkConfig:
    """The config of a network that also reads codes.

    Raises:
        SettingError: The network cannot.
        CheckpointError: The tokenizer of the codes, whose FSQ determines the initial embeddings, is not here.
    """
    if not isinstance(network, VideoDiTConfig):
        raise SettingError(
            f"model={config.model} cannot read codes", remedy="choose a transformer, such as model=tiny"
        )
    tokenizer = open_tokenizer(config.code_tokenizer, codes._asdict())
    fsq = tokenizer.fsq if isinstance(tokenizer, CausalTokenizer) else None
    return replace(
        network,
        code_channels=config.code_channels,
        codebook_size=codes.codebook_size,
        code_levels=fsq.levels if fsq else (),
        code_residual_std=residual_std,
    )
