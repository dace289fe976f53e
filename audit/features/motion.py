"""Two numbers on the motion of a cine, from intensities alone."""

import numpy as np
import numpy.typing as npt


def motion_roughness(image: npt.NDArray[np.float32]) -> float:
    """Size of a cine's second temporal differences over that of its first, cyclic.

    0 for uniform change, ``sqrt(3)`` for frames of independent noise, 2 for a flicker between two
    images; a heartbeat sampled by 20 frames is near 0.6. A still image has 0.
    """
    first = np.roll(image, -1, axis=0) - image
    second = np.roll(first, -1, axis=0) - first
    scale = float(np.sqrt((first.astype(np.float64) ** 2).mean()))
    return float(np.sqrt((second.astype(np.float64) ** 2).mean())) / scale if scale > 1e-6 else 0.0


def cycle_closure(image: npt.NDArray[np.float32]) -> float:
    """Change from the last frame to the first over the median change between neighbors.

    About 1 where the cine closes; a cycle that is cut open gives more, a still image 1.
    """
    steps = np.abs(np.diff(image, axis=0)).mean(axis=(1, 2, 3), dtype=np.float64)
    last = float(np.abs(image[0] - image[-1]).mean(dtype=np.float64))
    typical = float(np.median(steps))
    return last / typical if typical > 1e-6 else 1.0
