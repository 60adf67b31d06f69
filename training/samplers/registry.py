"""The samplers by name."""

from training.sampler import Sampler
from training.samplers.ddim import DDIM
from training.samplers.euler import sample_euler
from training.samplers.heun import sample_heun
from training.samplers.unipc import UniPC

# DDIM with eta 1 is the ancestral sampler of DDPM.
SAMPLERS: dict[str, Sampler] = {
    "euler": sample_euler,
    "heun": sample_heun,
    "unipc": UniPC(order=2),
    "unipc3": UniPC(order=3),
    "ddim": DDIM(eta=0.0),
    "ddpm": DDIM(eta=1.0),
}
