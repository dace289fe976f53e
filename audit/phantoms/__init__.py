"""Phantom cohorts: seeded thorax CT and cine hearts with analytic truth, and planted failures.

``thorax_cohort`` and ``heart_cohort`` draw patients from a stated population; the truth of each
is in ``Case.attributes``, its pathology in ``Case.group``. Another seed gives other patients of the
same population; a longer cohort starts with the shorter one. ``spoil`` plants one named failure.
"""

import numpy as np

from audit.cohort import Case, Cohort, Role, cohort_of
from audit.errors import BadInput
from audit.phantoms.failures import FAILURES, spoil
from audit.volume import Spacing, Volume

__all__ = ["FAILURES", "heart_cohort", "spoil", "thorax_cohort", "with_conditions"]

SMALLEST = 32


def thorax_cohort(
    n: int, *, role: Role = "train", seed: int = 0, size: int = 32, nodules: bool = True
) -> Cohort:
    """Draw a cohort of chest CTs in HU, (size, size, size) voxels over 320 × 352 × 352 mm.

    Labels: body, lung_left, lung_right, heart, aorta, spine and, in half the patients, nodule.

    Args:
        n: Patients.
        role: Of the cohort.
        seed: Of the population's draw.
        size: Voxels along each axis, 32 or more.
        nodules: Whether half of the patients have a nodule.

    Raises:
        BadInput: The size is below 32, or n below 0.
    """
    from audit.phantoms.thorax import FIELD_MM, GROUPS, draw_thorax
    from audit.phantoms.thorax_image import thorax_case

    _check(n, size)
    shape = (size, size, size)
    cases = []
    for index in range(n):
        rng = np.random.default_rng([seed, index, 1])
        patient = draw_thorax(rng, _group(GROUPS, seed, index), nodules=nodules)
        cases.append(
            thorax_case(
                patient,
                id=f"thorax-{seed}-{index:04d}",
                shape=shape,
                spacing_mm=_spacing(FIELD_MM, shape),
            )
        )
    return cohort_of(role, cases)


def heart_cohort(
    n: int, *, role: Role = "train", seed: int = 0, size: int = 32, frames: int = 12
) -> Cohort:
    """Draw a cohort of short-axis cines, (size / 2, size, size) voxels over a cube of 152 mm.

    Slices are twice as thick as pixels are wide, as in practice. Labels on all frames: lv,
    myocardium, rv (cavity). The first frame is end-diastole.

    Args:
        n: Patients; the five groups take turns in random order.
        role: Of the cohort.
        seed: Of the population's draw.
        size: In-plane voxels, 32 or more.
        frames: Frames over one beat.

    Raises:
        BadInput: The size is below 32, frames below 1, or n below 0.
    """
    from audit.phantoms.heart import FIELD_MM, GROUPS, draw_heart
    from audit.phantoms.heart_image import heart_case

    _check(n, size)
    if frames < 1:
        raise BadInput(f"{frames} frames were asked for", "one or more")
    shape = (size // 2, size, size)
    cases = []
    for index in range(n):
        rng = np.random.default_rng([seed, index, 2])
        patient = draw_heart(rng, _group(GROUPS, seed, index))
        cases.append(
            heart_case(
                patient,
                id=f"heart-{seed}-{index:04d}",
                shape=shape,
                spacing_mm=_spacing((FIELD_MM,) * 3, shape),
                frames=frames,
            )
        )
    return cohort_of(role, cases)


def with_conditions(synthetic: Cohort) -> tuple[Cohort, Cohort]:
    """Turn a cohort's own label maps into requests: (conditions, synthetic that name them)."""
    requests, following = [], []
    for case in synthetic:
        if case.labels is None:
            raise BadInput("a case has no label map", "one for each", "Use a phantom cohort")
        name = f"mask-{case.id}"
        codes = Volume(
            array=case.labels.array[None].astype(np.float32),
            spacing_mm=case.labels.spacing_mm,
            frame_ms=case.labels.frame_ms,
        )
        requests.append(
            Case(id=name, subject=name, image=codes, labels=case.labels, group=case.group)
        )
        following.append(
            Case(
                id=case.id,
                subject=case.subject,
                image=case.image,
                labels=case.labels,
                condition=name,
                group=case.group,
                attributes=case.attributes,
            )
        )
    return cohort_of("conditions", requests), cohort_of("synthetic", following)


def _check(n: int, size: int) -> None:
    if size < SMALLEST:
        raise BadInput(f"a phantom of {size} voxels was asked for", f"{SMALLEST} or more")
    if n < 0:
        raise BadInput(f"{n} phantoms were asked for", "0 or more")


def _group(groups: tuple[str, ...], seed: int, index: int) -> str:
    """Groups in blocks of random order: balanced at any n."""
    block, place = divmod(index, len(groups))
    return groups[np.random.default_rng([seed, block, 3]).permutation(len(groups))[place]]


def _spacing(field_mm: tuple[float, ...], shape: tuple[int, int, int]) -> Spacing:
    z, y, x = (f / n for f, n in zip(field_mm, shape, strict=True))
    return z, y, x
