"""Honest populations of the self-check: phantoms with requested masks, and patches of a real scan.

A population draws ``train`` (twice as large, for the floor), ``holdout`` and ``synthetic``, the
last from the same distribution: nothing is wrong with it until a failure is planted.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.cohort import Case, Cohort, Role, cohort_of
from audit.errors import BadInput
from audit.volume import Volume

PHANTOMS = ("thorax", "heart")
PATCH = 32
MOST_PATCHES = 24
LEAST_PATCHES = 6
MIDDLE_MM = 80.0
ROLES: tuple[Role, ...] = ("train", "holdout", "synthetic")

Cohorts = dict[str, Cohort]


def phantoms(population: str, subjects: int, seed: int) -> Cohorts:
    """Cohorts of one phantom population; the synthetic one follows its own masks.

    Args:
        population: One of ``PHANTOMS``.
        subjects: In hold-out and synthetic; train has twice as many.
        seed: Of the draw.

    Raises:
        BadInput: No population has this name.
    """
    from audit.phantoms import heart_cohort, thorax_cohort, with_conditions

    makers: dict[str, Callable[..., Cohort]] = {"thorax": thorax_cohort, "heart": heart_cohort}
    if population not in makers:
        raise BadInput(f"no population is called '{population}'", f"one of {', '.join(makers)}")
    drawn: Cohorts = {}
    for index, role in enumerate(ROLES):
        count = 2 * subjects if role == "train" else subjects
        cases = list(makers[population](count, role=role, seed=1000 * seed + index))
        drawn[role] = cohort_of(role, cases)
    drawn["conditions"], drawn["synthetic"] = with_conditions(drawn["synthetic"])
    return drawn


def patches(path: Path, seed: int) -> Cohorts:
    """Random shares of the textured patches of one real volume, each patch as if a subject.

    Patches do not overlap, and chance alone decides their role, so a permutation test holds its
    level. They are of one patient: sensitivity is shown on real texture, nothing is claimed of a
    population.

    Raises:
        BadInput: The volume has fewer than 24 textured patches.
    """
    from audit.volume import read_volume

    volume = read_volume(path)
    lively = _textured(volume.array[:, :1])
    if len(lively) < 4 * LEAST_PATCHES:
        raise BadInput(f"{len(lively)} textured patches", f"at least {4 * LEAST_PATCHES}")
    order = np.random.default_rng(seed).permutation(len(lively))
    count = min(len(lively) // 4, MOST_PATCHES)
    edges = {"train": (0, 2), "holdout": (2, 3), "synthetic": (3, 4)}
    return {
        role: cohort_of(
            role, [_patch(volume, lively[i], i) for i in order[first * count : last * count]]
        )
        for role, (first, last) in ((r, edges[r]) for r in ROLES)
    }


def middles(cohort: Cohort) -> Cohort:
    """The same cases cut to the middle 80 mm of each axis, images alone."""
    return cohort_of(cohort.role, [_middle(case) for case in cohort])


def scan_for_patches(folder: Path) -> Path | None:
    """The first file under ``folder/ct`` that is large enough for ``patches``; None without one."""
    for file in sorted((folder / "ct").glob("*")):
        try:
            patches(file, 0)
        except BadInput:
            continue
        return file
    return None


def _textured(array: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    corners = [
        (z, y, x)
        for z in range(0, array.shape[2] - PATCH + 1, PATCH)
        for y in range(0, array.shape[3] - PATCH + 1, PATCH)
        for x in range(0, array.shape[4] - PATCH + 1, PATCH)
    ]
    cut = [array[:, :, z : z + PATCH, y : y + PATCH, x : x + PATCH] for z, y, x in corners]
    return [c for c in cut if float(c.std()) > 0.25 * float(array.std())]


def _middle(case: Case) -> Case:
    image = case.image
    cut = []
    for size, spacing_mm in zip(image.array.shape[2:], image.spacing_mm, strict=True):
        kept = min(size, round(MIDDLE_MM / spacing_mm))
        first = (size - kept) // 2
        cut.append(slice(first, first + kept))
    array = np.ascontiguousarray(image.array[:, :, *cut])
    return Case(id=case.id, subject=case.subject, image=replace(image, array=array, affine=None))


def _patch(volume: Volume, array: npt.NDArray[np.float32], index: int) -> Case:
    name = f"patch-{index:04d}"
    image = replace(volume, array=np.ascontiguousarray(array), affine=None)
    return Case(id=name, subject=name, image=image)
