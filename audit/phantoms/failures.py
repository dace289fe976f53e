"""Planted failures: what a generator can do wrong, one at a time, at a set strength."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from audit.cohort import Case, CaseSource, Cohort
from audit.errors import BadInput, did_you_mean
from audit.volume import LabelMap

Array = npt.NDArray[np.float32]
CaseFailure = Callable[[Case, float, np.random.Generator], Case]

FAILURES: tuple[str, ...] = (
    "noise",
    "blur",
    "collapse",
    "copying",
    "mask_shift",
    "missing_organ",
    "weak_contraction",
    "jitter",
    "slice_shift",
    "intensity_shift",
)
MODES = 3
COPY_DEGREES = 10.0
COPY_NOISE = 0.05


def spoil(
    cohort: Cohort, failure: str, strength: float, *, seed: int = 0, train: Cohort | None = None
) -> Cohort:
    """Plant one failure in an honest cohort; labels follow the image, conditions do not.

    - ``noise``: white noise, SD 50 % of the intensity range at strength 1.
    - ``blur``: Gaussian, SD 2·√strength voxels.
    - ``collapse``: this share of cases becomes slight variants of three of them.
    - ``copying``: this share becomes near-copies of train cases: shifted up to 2 voxels, rotated
      up to 10°, 5 % noise, intensity scaled by 0.9 to 1.1.
    - ``mask_shift``: image and labels move along x by a quarter of the field at strength 1, away
      from the requested mask.
    - ``missing_organ``: this share of cases loses one structure, filled with what surrounds it.
    - ``weak_contraction``: the ejection fraction falls by 60 % of itself at strength 1.
    - ``jitter``: each frame moves in-plane at random, SD 1/8 of the field at strength 1.
    - ``slice_shift``: each slice does, the same in all frames.
    - ``intensity_shift``: brighter by 20 % of the range, contrast up by 30 % at strength 1.

    Args:
        cohort: Honest cases, in any role.
        failure: One of ``FAILURES``.
        strength: In (0, 1].
        seed: Of what is random in it; each case has its own stream.
        train: The training cohort; only ``copying`` needs it.

    Returns:
        A cohort in role ``synthetic`` with the ids of the given one.

    Raises:
        BadInput: Unknown failure, strength out of range, or input that cannot have it.
    """
    if failure not in FAILURES:
        raise BadInput(f"no failure is called '{failure}'", did_you_mean(failure, FAILURES))
    if not 0 < strength <= 1:
        raise BadInput(f"strength is {strength}", "above 0 and at most 1")
    if len(cohort) == 0:
        raise BadInput("an empty cohort was to be spoiled", "at least one case")
    if failure == "copying":
        if train is None or len(train) == 0:
            raise BadInput("failure 'copying' got no train cohort", "one", "Give train=")
        return _replace_share(cohort, train, strength, failure, seed, _near_copy)
    if failure == "collapse":
        rng = _rng(seed, failure, "modes")
        modes = cohort.subset(rng.permutation(len(cohort))[:MODES].tolist())
        return _replace_share(cohort, modes, strength, failure, seed, _variant)
    apply = _BY_CASE[failure]
    chosen = _chosen(cohort, strength, failure, seed) if failure == "missing_organ" else None
    sources = [
        _derived(s, failure, strength, seed, apply) if chosen is None or i in chosen else s
        for i, s in enumerate(cohort.sources)
    ]
    return Cohort("synthetic", sources, notes=cohort.notes)


def _rng(seed: int, failure: str, name: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{failure}\0{name}".encode()).digest()
    return np.random.default_rng(list(digest[:16]))


def _chosen(cohort: Cohort, share: float, failure: str, seed: int) -> set[int]:
    """Positions of this share of the cohort, at least one; a stronger share holds a weaker one."""
    count = max(1, round(share * len(cohort)))
    return set(_rng(seed, failure, "chosen").permutation(len(cohort))[:count].tolist())


def _derived(
    source: CaseSource, failure: str, strength: float, seed: int, apply: CaseFailure
) -> CaseSource:
    def read() -> Case:
        return apply(source.read(), strength, _rng(seed, failure, source.id))

    def content_hash() -> str:
        origin = f"{source.content_hash()}\0{failure}\0{strength}\0{seed}"
        return hashlib.sha256(origin.encode()).hexdigest()

    return replace(source, read=read, content_hash=content_hash)


def _replace_share(
    cohort: Cohort,
    models: Cohort,
    share: float,
    failure: str,
    seed: int,
    imitate: Callable[[Case, np.random.Generator], Case],
) -> Cohort:
    """Put imitations of model cases in the place of this share of a cohort."""
    chosen = sorted(_chosen(cohort, share, failure, seed))
    order = _rng(seed, failure, "models").permutation(len(models))
    sources = list(cohort.sources)
    for rank, i in enumerate(chosen):
        sources[i] = _imitation(
            sources[i], models.sources[int(order[rank % len(models)])], failure, seed, imitate
        )
    return Cohort("synthetic", sources, notes=cohort.notes)


def _imitation(
    place: CaseSource,
    model: CaseSource,
    failure: str,
    seed: int,
    imitate: Callable[[Case, np.random.Generator], Case],
) -> CaseSource:
    def read() -> Case:
        made = imitate(model.read(), _rng(seed, failure, place.id))
        return replace(made, id=place.id, subject=place.subject, condition=place.condition)

    def content_hash() -> str:
        origin = f"{model.content_hash()}\0{failure}\0{seed}\0{place.id}"
        return hashlib.sha256(origin.encode()).hexdigest()

    return replace(
        place, read=read, content_hash=content_hash, group=model.group, labeled=model.labeled
    )


def _with(case: Case, array: npt.NDArray[np.floating], labels: LabelMap | None) -> Case:
    image = replace(case.image, array=np.ascontiguousarray(array, dtype=np.float32))
    return replace(case, image=image, labels=labels)


def _span(case: Case) -> float:
    low, high = np.percentile(case.image.array, [0.5, 99.5])
    return float(high - low) or 1.0


def _noise(case: Case, strength: float, rng: np.random.Generator) -> Case:
    array = case.image.array
    added = rng.standard_normal(array.shape, dtype=np.float32) * np.float32(0.5 * strength)
    return _with(case, array + added * np.float32(_span(case)), case.labels)


def _blur(case: Case, strength: float, rng: np.random.Generator) -> Case:  # noqa: ARG001
    from scipy.ndimage import gaussian_filter

    sd = 2 * strength**0.5
    return _with(case, gaussian_filter(case.image.array, (0, 0, sd, sd, sd)), case.labels)


def _intensity_shift(case: Case, strength: float, rng: np.random.Generator) -> Case:  # noqa: ARG001
    array = case.image.array
    low = float(np.percentile(array, 0.5))
    gain, offset = 1 + 0.3 * strength, 0.2 * strength * _span(case)
    return _with(case, (array - low) * gain + low + offset, case.labels)


def _mask_shift(case: Case, strength: float, rng: np.random.Generator) -> Case:  # noqa: ARG001
    step = max(1, round(strength * case.image.shape[4] / 4))
    index = np.clip(np.arange(case.image.shape[4]) - step, 0, None)
    labels = case.labels
    if labels is not None:
        labels = replace(labels, array=labels.array[..., index])
    return _with(case, case.image.array[..., index], labels)


def _jitter(case: Case, strength: float, rng: np.random.Generator) -> Case:
    if case.image.frames < 2:
        raise BadInput("failure 'jitter' got a single frame", "a cine", "Use a heart cohort")
    t, y = case.image.frames, case.image.shape[3]
    moves = rng.standard_normal((t, 1, 2)) * strength * y / 8
    return _moved(case, np.broadcast_to(moves, (t, case.image.shape[2], 2)))


def _slice_shift(case: Case, strength: float, rng: np.random.Generator) -> Case:
    t, z, y = case.image.shape[1:4]
    moves = rng.standard_normal((1, z, 2)) * strength * y / 8
    return _moved(case, np.broadcast_to(moves, (t, z, 2)))


def _moved(case: Case, moves: npt.NDArray[np.float64]) -> Case:
    """Shift each frame and slice by (y, x) voxels, moves (t, z, 2)."""
    from scipy.ndimage import shift

    array, labels = case.image.array.copy(), case.labels
    codes = None if labels is None else labels.array.copy()
    for t, z in np.ndindex(moves.shape[:2]):
        by = moves[t, z]
        array[:, t, z] = shift(array[:, t, z], (0, *by), order=1, mode="nearest")
        if codes is not None:
            codes[t, z] = shift(codes[t, z], by, order=0, mode="nearest")
    if labels is not None and codes is not None:
        labels = replace(labels, array=codes)
    return _with(case, array, labels)


def _missing_organ(case: Case, strength: float, rng: np.random.Generator) -> Case:  # noqa: ARG001
    """Remove the right ventricle, the left lung, or else the smallest structure."""
    from scipy.ndimage import binary_dilation, distance_transform_edt

    labels = case.labels
    if labels is None:
        raise BadInput("failure 'missing_organ' got a case without labels", "a label map")
    present = {n: int(labels.mask(n).sum()) for n in labels.names if labels.mask(n).any()}
    preferred = [n for n in ("rv", "lung_left") if n in present]
    if not present:
        raise BadInput("failure 'missing_organ' got an empty label map", "a structure to remove")
    organ = preferred[0] if preferred else min(present, key=lambda n: present[n])
    mask = labels.mask(organ)
    array, codes = case.image.array.copy(), labels.array.copy()
    for t in range(mask.shape[0]):
        wide = binary_dilation(mask[t], iterations=1)
        if not wide.any() or wide.all():
            continue
        near = distance_transform_edt(
            wide, sampling=labels.spacing_mm, return_distances=False, return_indices=True
        )
        array[:, t] = array[:, t][(slice(None), *near)]
        codes[t] = codes[t][tuple(near)]
        codes[t][codes[t] == labels.names[organ]] = 0
    return _with(case, array, replace(labels, array=codes))


def _variant(case: Case, rng: np.random.Generator) -> Case:
    """Nearly the same sample again, as a collapsed generator gives it."""
    scaled = case.image.array * np.float32(rng.uniform(0.98, 1.02))
    case = _with(case, scaled, case.labels)
    return _noise(case, 0.02, rng)


def _near_copy(case: Case, rng: np.random.Generator) -> Case:
    """Shift, rotate in-plane, scale intensity and add noise."""
    from scipy.ndimage import affine_transform

    angle = np.deg2rad(rng.uniform(-COPY_DEGREES, COPY_DEGREES))
    sy, sx = case.image.spacing_mm[1:]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    scale = np.diag([sy, sx])
    matrix = np.eye(3)
    matrix[1:, 1:] = np.linalg.inv(scale) @ turn @ scale
    middle = (np.array(case.image.shape[2:]) - 1) / 2
    offset = middle - matrix @ (middle + np.array([0, *rng.uniform(-2, 2, 2)]))
    gain = np.float32(rng.uniform(0.9, 1.1))
    low = np.float32(case.image.array.min())
    array = np.empty_like(case.image.array)
    for c, t in np.ndindex(array.shape[:2]):
        array[c, t] = affine_transform(
            case.image.array[c, t], matrix, offset, order=1, mode="nearest"
        )
    labels = case.labels
    if labels is not None:
        codes = np.stack(
            [affine_transform(f, matrix, offset, order=0, mode="nearest") for f in labels.array]
        )
        labels = replace(labels, array=codes)
    case = _with(case, (array - low) * gain + low, labels)
    return _noise(case, COPY_NOISE / 0.5, rng)


def _weak_contraction(case: Case, strength: float, rng: np.random.Generator) -> Case:  # noqa: ARG001
    from audit.phantoms.contraction import weaken

    return weaken(case, 1 - 0.6 * strength)


_BY_CASE: dict[str, CaseFailure] = {
    "noise": _noise,
    "blur": _blur,
    "mask_shift": _mask_shift,
    "missing_organ": _missing_organ,
    "weak_contraction": _weak_contraction,
    "jitter": _jitter,
    "slice_shift": _slice_shift,
    "intensity_shift": _intensity_shift,
}
