"""The films of the demo: their shots, transitions and defects.

cuts           cuts.mp4: five good shots, hard cuts, one flash
camera         camera.mp4: a shot each of pan, tilt, zoom, roll, shake, travel and a fixed camera; hard cuts
gradual        "Übergänge – été.mp4": a dissolve, a fade to black, a fade to white; 29.97 frames per second
quality        quality.mp4: a good shot, and a still, dark, blurred, letterboxed and frozen one
words          "<b>&.mp4": a shot with subtitles, and one with a logo
twin_large     twin_large.mp4: two shots at 1280 × 720
twin_small     twin_small.mp4: the first of those shots again at 640 × 360 and a low bit rate
rotated        rotated.mp4: one shot of a phone held upright, stored in landscape (rotation of 90 degrees)
variable_rate  variable_rate.mp4: two shots with a variable frame rate
sound          sound.mp4: two shots at 854 × 480, 30 frames per second, with audio
long           long.mp4: one shot of 70 s, 15 frames per second
brief          brief.mp4: a good shot and one of 1.2 s
"""

from fractions import Fraction

from stages.footage.camera import Camera
from stages.footage.film import Film, Flash, Transition
from stages.footage.moving_object import MovingObject
from stages.footage.overlays import Subtitle
from stages.footage.shot import Shot


def cars(seed: int, y: float = 0.2, size: float = 0.26) -> tuple[MovingObject, ...]:
    """Two cars that pass each other."""
    return (
        MovingObject("car", -0.9, y, speed=0.5, size=size, seed=seed),
        MovingObject("car", 0.8, y + 0.13, speed=-0.36, size=size * 1.15, seed=seed + 1),
    )


def flock(seed: int, y: float = -0.3) -> tuple[MovingObject, ...]:
    """Birds that fly across the sky."""
    spots = ((-0.8, 0.0, 0.1), (-0.62, 0.07, 0.08), (-0.98, 0.1, 0.07), (-0.5, -0.03, 0.06))
    return tuple(
        MovingObject("bird", x, y + dy, speed=0.34, fall=-0.02, size=size, seed=seed) for x, dy, size in spots
    )


def walkers(seed: int, y: float = 0.24) -> tuple[MovingObject, ...]:
    """Two people who walk in opposite directions."""
    return (
        MovingObject("walker", -0.5, y, speed=0.17, size=0.34, seed=seed),
        MovingObject("walker", 0.6, y + 0.05, speed=-0.2, size=0.4, seed=seed + 1),
    )


def balls(seed: int, y: float = 0.3) -> tuple[MovingObject, ...]:
    """Two balls that roll and bounce."""
    return (
        MovingObject("ball", -0.7, y, speed=0.45, size=0.15, seed=seed),
        MovingObject("ball", 0.5, y + 0.08, speed=-0.25, size=0.2, seed=seed + 1),
    )


def boats(seed: int, y: float = 0.08) -> tuple[MovingObject, ...]:
    """Two boats."""
    return (
        MovingObject("boat", -0.5, y, speed=0.12, size=0.3, seed=seed),
        MovingObject("boat", 0.4, y - 0.06, speed=-0.07, size=0.18, seed=seed + 1),
    )


CUTS = Film(
    "cuts",
    "cuts.mp4",
    (
        Shot("cuts 0", "hills", 60, Camera("pan", 0.22), objects=flock(1)),
        Shot("cuts 1", "town", 54, Camera("zoom", 0.1), "dusk", cars(2)),
        Shot("cuts 2", "fields", 58, Camera("travel", 0.2), "noon"),
        Shot("cuts 3", "room", 52, Camera("shake", 0.006), "noon", balls(4)),
        Shot("cuts 4", "sea", 56, Camera("pan", -0.18), "dawn", boats(5)),
    ),
    flashes=(Flash(1, 27, 2),),
)

CAMERA = Film(
    "camera",
    "camera.mp4",
    (
        Shot("camera pan", "town", 56, Camera("pan", 0.3), "gray", walkers(11)),
        Shot("camera tilt", "hills", 54, Camera("tilt", -0.2), "dawn"),
        Shot("camera zoom", "fields", 54, Camera("zoom", 0.16), "noon"),
        Shot("camera roll", "room", 54, Camera("roll", 9.0), "noon", balls(13)),
        Shot("camera shake", "hills", 54, Camera("shake", 0.011), "noon", walkers(15, 0.28)),
        Shot("camera travel", "town", 56, Camera("travel", 0.34), "noon", cars(16)),
        Shot("camera fixed", "sea", 54, Camera("fixed"), "noon", boats(17)),
    ),
)

GRADUAL = Film(
    "gradual",
    "Übergänge – été.mp4",
    (
        Shot("gradual 0", "sea", 84, Camera("pan", 0.2), "dusk", boats(21)),
        Shot("gradual 1", "hills", 100, Camera("zoom", 0.09), "noon", walkers(22, 0.27)),
        Shot("gradual 2", "town", 100, Camera("pan", -0.24), "noon", cars(23)),
        Shot("gradual 3", "fields", 84, Camera("roll", 5.0), "dawn"),
    ),
    (Transition("dissolve", 20), Transition("fade_black", 10, 4), Transition("fade_white", 12, 2)),
    fps=Fraction(30000, 1001),
)

QUALITY = Film(
    "quality",
    "quality.mp4",
    (
        Shot("quality good", "hills", 62, Camera("travel", 0.25), "noon", flock(31)),
        Shot("quality still", "slide", 66, still=True),
        Shot("quality dark", "town", 66, Camera("pan", 0.2), "dusk", cars(32), dark=True),
        Shot("quality blurred", "fields", 66, Camera("travel", 0.15), "noon", blurred=True),
        Shot("quality letterboxed", "sea", 66, Camera("pan", 0.16), "noon", boats(33), letterboxed=True),
        Shot("quality frozen", "room", 110, Camera("pan", 0.2), "noon", balls(34), frozen=(24, 92)),
    ),
    fps=Fraction(25),
)

WORDS = Film(
    "words",
    "<b>&.mp4",
    (
        Shot(
            "words lines",
            "room",
            84,
            Camera("shake", 0.007),
            "noon",
            walkers(41, 0.2),
            subtitles=(
                Subtitle(6, 40, "Where did you put the bread?"),
                Subtitle(46, 80, "On the shelf, beside the tea."),
            ),
        ),
        Shot("words mark", "sea", 60, Camera("travel", 0.22), "gray", boats(42), logo=True),
    ),
    fps=Fraction(25),
)

DUPLICATED_SHOT = Shot("twin", "town", 52, Camera("travel", 0.2), "dusk", walkers(51))
DUPLICATE_LARGE = Film(
    "twin_large",
    "twin_large.mp4",
    (DUPLICATED_SHOT, Shot("twin_large 1", "hills", 50, Camera("pan", -0.16), "gray", flock(52))),
    size=(1280, 720),
    crf=22,
)
DUPLICATE_SMALL = Film(
    "twin_small",
    "twin_small.mp4",
    (DUPLICATED_SHOT,),
    render_size=(1280, 720),
    crf=31,
    duplicates=((0, DUPLICATE_LARGE.file, 0),),
)

ROTATED = Film(
    "rotated",
    "rotated.mp4",
    (Shot("rotated", "room", 60, Camera("tilt", 0.07), "noon", balls(61, 0.25)),),
    size=(360, 640),
    rotation_deg=90,
)

VARIABLE_RATE = Film(
    "variable_rate",
    "variable_rate.mp4",
    (
        Shot("variable_rate 0", "hills", 66, Camera("shake", 0.008), "dusk", walkers(71, 0.28)),
        Shot("variable_rate 1", "sea", 64, Camera("pan", 0.17), "noon", boats(72)),
    ),
    fps=Fraction(30),
    variable_rate=True,
)

SOUND = Film(
    "sound",
    "sound.mp4",
    (
        Shot("sound 0", "fields", 66, Camera("pan", -0.2), "dawn"),
        Shot("sound 1", "town", 68, Camera("zoom", -0.11), "noon", cars(81) + walkers(82)),
    ),
    size=(854, 480),
    fps=Fraction(30),
    has_audio=True,
)

LONG = Film(
    "long",
    "long.mp4",
    (
        Shot(
            "long",
            "town",
            1050,
            Camera("wander", 0.3),
            "noon",
            tuple(
                MovingObject(
                    ("car", "walker", "car")[number % 3],
                    -1.5 - 1.1 * number if number % 2 else 1.5 + 0.9 * number,
                    0.2 + 0.03 * (number % 5),
                    speed=(0.3 if number % 2 else -0.26),
                    size=(0.3, 0.38, 0.34)[number % 3],
                    seed=90 + number % 7,
                )
                for number in range(16)
            ),
        ),
    ),
    fps=Fraction(15),
    crf=26,
)

BRIEF = Film(
    "brief",
    "brief.mp4",
    (
        Shot("brief 0", "fields", 60, Camera("tilt", 0.15), "gray"),
        Shot("brief 1", "room", 29, Camera("travel", 0.25), "noon", balls(101)),
    ),
)

FILMS: dict[str, Film] = {
    film.name: film
    for film in (
        LONG,
        CUTS,
        CAMERA,
        GRADUAL,
        QUALITY,
        WORDS,
        DUPLICATE_LARGE,
        DUPLICATE_SMALL,
        ROTATED,
        VARIABLE_RATE,
        SOUND,
        BRIEF,
    )
}
