"""Share of synthetic volumes with a part that was lifted from a training patient.

The volume is cut into overlapping cubes; each is compared with the cube at the same place in all
training volumes, in their mirror images, and in both turned by 8 degrees about each axis (in the
plane only, of thin stacks), after the mean anatomy is taken away. A volume scores its best cube,
and so does the hold-out, so that searching many cubes costs no false alarms; where the generator's
autoencoder is known, train and hold-out pass through it, as samples have come. Of a cine each frame
is compared with all frames of train: one copied frame counts, at any time. Parts that were moved by
more than a few percent of the field of view, or turned by more than about 10 degrees, are missed.
"""

import itertools

import numpy as np
import numpy.typing as npt

from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.copies.anatomy import shared_anatomy
from audit.copies.search import ALPHA, one_volume_each
from audit.extractor import Autoencode
from audit.metric import Measurement, Metric
from audit.statistics.conformal import (
    chance_of_more_flagged,
    conformal_p_values,
    excess,
    flagged_range,
    share_by_subject,
)

Rows = npt.NDArray[np.float32]
SIDE = 24
CUBE = 12
STRIDE = 6
TURN_DEG = 8.0  # finds what was turned by 3 to 13 degrees


def cubes(volume: npt.NDArray[np.float32]) -> Rows:
    """Overlapping cubes of a volume (c, z, y, x), halved in resolution: unit rows (places, d).

    A cube without contrast becomes zeros and resembles nothing.
    """
    import torch

    z, y, x = volume.shape[1:]
    size = (min(SIDE, z), min(SIDE, y), min(SIDE, x))
    small = torch.nn.functional.adaptive_avg_pool3d(torch.from_numpy(volume), size).numpy()
    rows = [_cube(small, corner) for corner in itertools.product(*map(_starts, size))]
    flat = np.stack(rows) - np.mean(rows, axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    scaled: Rows = np.where(norm > 1e-2, flat / np.maximum(norm, 1e-9), 0.0).astype(np.float32)
    return scaled


def best_cube(queries: Rows, train: Rows) -> npt.NDArray[np.float32]:
    """Highest correlation (m,) of cubes (m, places, d) with train's (n, places, d) in place."""
    best = np.full(len(queries), -1.0, np.float32)
    for place in range(queries.shape[1]):
        best = np.maximum(best, (queries[:, place] @ train[:, place].T).max(axis=1))
    return best


def compute(comparison: Comparison, rng: np.random.Generator) -> Measurement:  # noqa: ARG001
    """Conformal p-values of the best cube, calibrated on whole held-out volumes."""
    for role in ("train", "holdout", "synthetic"):
        comparison.cohort(role)
    rows = one_volume_each(comparison.holdout.subjects)
    low, high = flagged_range(len(comparison.synthetic), len(rows), ALPHA)
    mean = shared_anatomy(comparison)[0][: comparison.preprocessing.channels]
    with comparison.workshop.ledger.phase("audit.partial_copies"):
        held, made = comparison.holdout.subset(rows.tolist()), comparison.synthetic
        both = [
            _all_cubes(comparison, held, mean, through=comparison.workshop.autoencode),
            _all_cubes(comparison, made, mean),
        ]
        null, scores = _best_of_turns(comparison, both, (len(held), len(made)), mean)
    flags = conformal_p_values(null, scores) <= ALPHA
    share = share_by_subject(flags, comparison.synthetic.subjects)
    return Measurement(
        estimate=share,
        reference={
            "real_vs_real": ALPHA,
            "real_vs_real_low": low,
            "real_vs_real_high": high,
            "excess": excess(share.value, ALPHA),
        },
        p_value=chance_of_more_flagged(int(flags.sum()), len(flags), len(null), ALPHA),
        params={
            "test": "number of flagged volumes against its beta-binomial law under no copying",
            "alpha": ALPHA,
            "cube": f"{CUBE} of {SIDE} voxels a side, every {STRIDE}",
            "turned_deg": TURN_DEG,
            "frames": comparison.preprocessing.shape[0],
            "n_null": len(null),
        },
        series={
            "best_cube_synthetic": [float(v) for v in scores],
            "best_cube_holdout": [float(v) for v in null],
        },
    )


def turns(slices: int) -> list[tuple[float, float, float]]:
    """Angles about x, y, z in degrees that training volumes are searched at, of so many slices."""
    axes = (0, 1, 2) if slices >= 8 else (2,)
    angles = np.zeros((1 + 2 * len(axes), 3))
    for place, (axis, sign) in enumerate(itertools.product(axes, (-1, 1)), start=1):
        angles[place, axis] = sign * TURN_DEG
    return [(float(x), float(y), float(z)) for x, y, z in angles]


def _best_of_turns(
    comparison: Comparison, queries: list[Rows], volumes: tuple[int, int], mean: Rows
) -> list[npt.NDArray[np.float32]]:
    """The best cube of each volume over all turns of train, one turn in memory at a time."""
    best = [np.full(n, -1.0, np.float32) for n in volumes]
    for angles in turns(comparison.preprocessing.shape[1]):
        train = _all_cubes(
            comparison,
            comparison.train,
            mean,
            mirrored=True,
            angles=angles,
            through=comparison.workshop.autoencode,
        )
        best = [
            np.maximum(b, _best_of_volume(q, train, len(b)))
            for b, q in zip(best, queries, strict=True)
        ]
    return best


def _all_cubes(
    comparison: Comparison,
    cohort: Cohort,
    mean: Rows,
    *,
    mirrored: bool = False,
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
    through: Autoencode | None = None,
) -> Rows:
    """Cubes (frames of all volumes, places, d), volume by volume."""
    rows = []
    for case in cohort:
        volume = comparison.preprocessing(case.image)
        volume = volume if through is None else through(volume[None])[0]
        for frame in _turned(volume, angles, comparison).swapaxes(0, 1):
            rows.append(cubes(frame - mean))
            if mirrored:
                rows.append(cubes(np.ascontiguousarray(frame[..., ::-1]) - mean))
    return np.stack(rows)


def _turned(volume: Rows, angles: tuple[float, float, float], comparison: Comparison) -> Rows:
    """A volume (c, t, z, y, x), turned about its center."""
    if not any(angles):
        return volume
    import torch

    from audit.extractors.ssl3d import extent_mm
    from audit.spatial import rigid_theta, warp

    theta = rigid_theta(
        torch.deg2rad(torch.tensor([angles])),
        torch.zeros(1, 3),
        extent_mm=extent_mm(comparison.preprocessing),
    )
    flat = torch.from_numpy(volume).reshape(1, -1, *volume.shape[2:])
    return np.asarray(warp(flat, theta).reshape(volume.shape).numpy())


def _best_of_volume(queries: Rows, train: Rows, volumes: int) -> npt.NDArray[np.float32]:
    """The best cube (volumes,) over the frames of each."""
    best: npt.NDArray[np.float32] = best_cube(queries, train).reshape(volumes, -1).max(axis=1)
    return best


def _starts(size: int) -> list[int]:
    return sorted({*range(0, max(1, size - CUBE + 1), STRIDE), max(0, size - CUBE)})


def _cube(volume: Rows, corner: tuple[int, ...]) -> Rows:
    import torch

    where = tuple(slice(start, start + CUBE) for start in corner)
    part = torch.from_numpy(np.ascontiguousarray(volume[(slice(None), *where)]))
    z, y, x = part.shape[1:]
    half = (max(1, z // 2), max(1, y // 2), max(1, x // 2))
    return torch.nn.functional.adaptive_avg_pool3d(part, half).numpy().ravel()


METRIC = Metric(
    compute=compute,
    better="lower",
    bounds=(0.0, 1.0),
    needs=("holdout",),
    version=4,
    source="Patch-wise search: Somepalli et al. 2023, arXiv:2212.03860; calibration: 2104.08279",
)
