"""Hand-made statistics of motion in a cine: no weights. Apart from appearance, which frames pool.

Amplitude and phase spread of the first three harmonics in 4 x 4 x 4 boxes, change between frames
over the cycle, roughness and closure: about two hundred numbers, z-scored by the training cohort.
"""

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.cohort import Cohort
from audit.errors import NotComputable
from audit.extractor import Encoder, Extractor, Workshop
from audit.extractors.intensity import layout
from audit.extractors.standardized import standardized
from audit.features.motion import cycle_closure, motion_roughness
from audit.preprocessing import Preprocessing

HARMONICS = 3
LEAST_FRAMES = 4
COURSE = 8
VERSION = 1


def motion_features(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Features (d,) of one cine (c, t, z, y, x) in [-1, 1]."""
    image = volume.mean(axis=0)
    harmonics = np.abs(np.fft.rfft(image, axis=0)[1 : HARMONICS + 1]) / len(image)
    if len(harmonics) < HARMONICS:
        missing = np.zeros((HARMONICS - len(harmonics), *image.shape[1:]))
        harmonics = np.concatenate([harmonics, missing])
    boxes = [np.log10(layout(h.astype(np.float32)) + 1e-4) for h in harmonics]
    steps = np.abs(np.roll(image, -1, axis=0) - image).mean(axis=(1, 2, 3), dtype=np.float64)
    place = np.linspace(0, len(steps) - 1, COURSE)
    course = np.interp(place, np.arange(len(steps)), steps)
    ends = [motion_roughness(image), cycle_closure(image), float(steps.mean())]
    return np.concatenate([*boxes, course, ends])


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:
    """Take mean and standard deviation of each number from the training cohort.

    Raises:
        NotComputable: The volumes are no cines.
    """
    if preprocessing.shape[0] < LEAST_FRAMES:
        raise NotComputable(f"{preprocessing.shape[0]} frames", f"at least {LEAST_FRAMES}")
    key = key_of(extractor="motion", version=VERSION)
    return standardized(motion_features, train, preprocessing, workshop, key=key)


EXTRACTOR = Extractor(
    fit=fit,
    dim=0,
    source="own temporal harmonics; no weights",
    blind_to=("intensity_shift",),  # changes over time, on a log scale
)
