"""The rewards by name."""

from training.errors import SettingError
from training.rewards.of_videos import Brightness, GoalDistance, Motion, Psnr
from training.rewards.reward import Reward

REWARDS = ("brightness", "motion", "psnr", "goal_distance")


def build_reward(name: str, color: tuple[float, ...], goal: tuple[float, ...]) -> Reward:
    """The reward of this name.

    Args:
        name: One of `REWARDS`.
        color, goal: Those of `GoalDistance`.

    Raises:
        SettingError: There is no such reward, or it lacks a color of 3 or a goal of 2 numbers.
    """
    if name == "goal_distance":
        if len(color) != 3 or len(goal) != 2:
            raise SettingError(
                f"reward_color has {len(color)} numbers and reward_goal {len(goal)}",
                remedy="set for example reward_color=196,60,50 and reward_goal=0.5,0.5",
            )
        return GoalDistance(color, goal)
    simple: dict[str, Reward] = {"brightness": Brightness(), "motion": Motion(), "psnr": Psnr()}
    if name not in simple:
        raise SettingError(f"there is no reward {name!r}", remedy=f"choose one of {', '.join(REWARDS)}")
    return simple[name]
