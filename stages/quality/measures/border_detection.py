"""Finds blurred bars beside a picture, which are enlarged and blurred copies of it, and refines borders."""

import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.float32]  # [t h w]

MIN_BAR, MAX_BAR = 0.04, 0.45  # width of a bar, as a share of the side
MIN_EDGE, MIN_EDGE_RATIO = 2.5, 3.0  # step at the picture's edge: luma levels; over the steps within the bar
MAX_DETAIL_RATIO = 0.35  # fine detail of the bars over that of the picture
MIN_CORRELATION = 0.6  # of the bars with the enlarged picture
MAX_CANDIDATES = 6
LIT, MIN_LIT_SHARE = 28, 0.25  # luma of a pixel that is no black; share of a line that is lit in the picture


def refine_black_border(stills: Luma, share: float) -> int:
    """The width in px of a black border at the top of the stills; `share` is its width, known to 1/256.

    The last line that belongs only in part to the border counts as border.
    """
    height = stills.shape[1]
    near = max(3, round(2 * height / 256))
    middle = round(share * height)
    first = max(0, middle - near)
    lit = (stills[:, first : middle + near + 1] > LIT).mean(axis=2).max(axis=0) > MIN_LIT_SHARE
    edge: int = first + int(lit.argmax()) if lit.any() else middle
    return edge + 1


def find_blurred_bars(stills: Luma) -> tuple[int, int] | None:
    """The first and the last column, plus 1, of a picture between two blurred bars; None if there are none.

    The bars are equally wide, to 1 px. At both edges, luma steps along the whole height; the bars have little
    fine detail; and they look like the picture, enlarged to the whole image.
    """
    width = stills.shape[2]
    steps = np.median(np.abs(np.diff(stills, axis=2)).mean(axis=0), axis=0)  # [w - 1]; step k is at k + 1
    detail = _fine_detail(stills)
    smallest, largest = max(2, round(MIN_BAR * width)), round(MAX_BAR * width)
    if largest <= smallest + 2:
        return None
    found = []
    for left in range(smallest, largest):
        right = max(range(width - left - 1, width - left + 2), key=lambda column: steps[column - 1])
        found.append((min(steps[left - 1], steps[right - 1]), left, right))
    for step, left, right in sorted(found, reverse=True)[:MAX_CANDIDATES]:
        within = np.concatenate([steps[: left - 2], steps[right + 1 :]])
        if step < max(MIN_EDGE, MIN_EDGE_RATIO * float(np.median(within))):
            continue
        bars = np.concatenate([detail[: left - 1], detail[right + 1 :]]).mean()
        if bars > MAX_DETAIL_RATIO * detail[left + 1 : right - 1].mean():
            continue
        if _correlation(stills, left, right) >= MIN_CORRELATION:
            return left + 1, right - 1
    return None


def _fine_detail(stills: Luma) -> npt.NDArray[np.float64]:
    """Mean absolute second difference of each column, in luma levels [w]."""
    down = np.abs(np.diff(stills, n=2, axis=1)).mean(axis=(0, 1))
    across = np.abs(np.diff(stills, n=2, axis=2)).mean(axis=(0, 1))
    return np.asarray(down + np.pad(across, 1, mode="edge"), np.float64)


def _correlation(stills: Luma, left: int, right: int) -> float:
    """Correlation of the bars with the picture, enlarged to the whole width; the better of two ways.

    Editors enlarge the picture until it covers the image, or stretch it to the size of the image.
    """
    import cv2

    _, height, width = stills.shape
    scale = width / (right - left)
    bars: list[npt.NDArray[np.float32]] = []
    covers: list[npt.NDArray[np.float32]] = []
    stretched: list[npt.NDArray[np.float32]] = []
    for still in stills:
        tall = cv2.resize(still[:, left:right], (width, max(height, round(height * scale))))
        top = (len(tall) - height) // 2
        sigma = max(1.0, 0.02 * width)
        for images, image in (
            (bars, still),
            (covers, tall[top : top + height]),
            (stretched, cv2.resize(still[:, left:right], (width, height))),
        ):
            blurred = cv2.GaussianBlur(image, (0, 0), sigma)
            images.append(np.concatenate([blurred[:, : left - 2], blurred[:, right + 2 :]], axis=1))
    own = np.stack(bars).ravel()
    if own.std() < 1:
        return 0.0
    others = [np.stack(images).ravel() for images in (covers, stretched)]
    return max(float(np.corrcoef(own, other)[0, 1]) if other.std() >= 1 else 0.0 for other in others)
