"""What the training of a tokenizer minimizes."""

from dataclasses import dataclass

from manifests import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt


@dataclass(frozen=True, kw_only=True)
class ReconstructionSettings:
    """What the training of a tokenizer minimizes.

    Attributes:
        l1_weight: Weight of the mean absolute error of values. Higher values keep colors and brightness.
        difference_weight: Weight of the mean absolute error of differences between neighbors in time, height
            and width. Higher values make edges sharper and movement smoother.
        perceptual_weight: Weight of the perceptual loss. It compares VGG features if `vgg_weights` is given.
            Without it, it is 1 - SSIM on several scales. Higher values keep structure, and cost PSNR.
        gram_weight: Weight of the error of the Gram matrices of VGG features. Higher values keep textures.
        flow_weight: Weight of the error of the optical flow. Higher values keep movement.
        vgg_weights: File of weights of torchvision's vgg16: .safetensors, or .pth; "" uses no VGG.
        raft_weights: File of weights of torchvision's raft_large: .safetensors, or .pth; "" uses no RAFT.
        adversarial_weight: Weight of the adversarial loss, relative to the gradient of the other losses.
            Higher values make sharper details, and train less stably. 0 trains no discriminator.
        adversarial_start: Step at which the adversarial stage starts. Higher values give the tokenizer more
            time to learn before.
        adaptive_weight: Scale the adversarial loss so that its gradient at the reconstructed video has the
            norm of the gradient of all other losses, times `adversarial_weight`.
        discriminator_lr: Learning rate of the discriminator. Higher values let it win sooner.
        discriminator_channels: Channels of the first layer of the discriminator. Higher values make it
            stronger and slower.
        r1_weight: Weight of the approximated R1 penalty on the discriminator. Higher values train more
            stably and less sharply.
        r1_sigma: Standard deviation of the noise of this penalty. Higher values smooth the discriminator
            over a wider range.
    """

    l1_weight: NonNegativeFloat = 1.0
    difference_weight: NonNegativeFloat = 0.5
    perceptual_weight: NonNegativeFloat = 0.1
    gram_weight: NonNegativeFloat = 0.0
    flow_weight: NonNegativeFloat = 0.0
    vgg_weights: str = ""
    raft_weights: str = ""
    adversarial_weight: NonNegativeFloat = 0.0
    adversarial_start: NonNegativeInt = 0
    adaptive_weight: bool = True
    discriminator_lr: PositiveFloat = 1e-4
    discriminator_channels: PositiveInt = 32
    r1_weight: NonNegativeFloat = 100.0
    r1_sigma: PositiveFloat = 0.01
