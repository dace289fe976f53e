"""Weaken the contraction of any cine with an LV label: frames are remapped to larger volumes."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from audit.cohort import Case
from audit.errors import BadInput
from audit.volume import LabelMap

Array = npt.NDArray[np.float32]
BISECTIONS = 7


def weaken(case: Case, factor: float) -> Case:
    """Multiply the LV ejection fraction by a factor below 1.

    Each frame takes the look that the heart has, on its way from end-diastole to end-systole, at
    the volume it should now have: intensities and signed distances are interpolated between the
    two nearest frames.

    Args:
        case: A cine with an ``lv`` label in all frames.
        factor: Share of the ejection fraction that is kept.

    Raises:
        BadInput: A single frame, no LV label, or frames without labels.
    """
    labels = case.labels
    if case.image.frames < 2 or labels is None or "lv" not in labels.names:
        raise BadInput("failure 'weak_contraction' got no labeled cine", "an LV in each frame")
    if len(labels.labeled_frames) < case.image.frames:
        raise BadInput("failure 'weak_contraction' got unlabeled frames", "labels on all frames")
    volumes = labels.mask("lv").sum(axis=(1, 2, 3)).astype(float)
    wanted = volumes.max() - factor * (volumes.max() - volumes)
    limb = _systolic_limb(volumes)
    array = np.empty_like(case.image.array)
    codes = np.empty_like(labels.array)
    distances = {frame: _distances(labels, frame) for frame in limb}
    for t, volume in enumerate(wanted):
        early, late = _between(volumes, limb, volume)
        share = np.float32(0)
        for step in 0.5 ** np.arange(1, BISECTIONS + 1, dtype=np.float32):
            codes[t] = _blend(labels, distances, (early, late), share + step)
            if (codes[t] == labels.names["lv"]).sum() > volume:
                share += step
        codes[t] = _blend(labels, distances, (early, late), share)
        array[:, t] = (1 - share) * case.image.array[:, early] + share * case.image.array[:, late]
    return replace(
        case,
        image=replace(case.image, array=array),
        labels=replace(labels, array=codes),
        attributes=_lowered(case.attributes, factor),
    )


def _systolic_limb(volumes: npt.NDArray[np.float64]) -> list[int]:
    """Frames from end-diastole to end-systole, each smaller than all before it."""
    start, end = int(volumes.argmax()), int(volumes.argmin())
    path = [(start + k) % len(volumes) for k in range((end - start) % len(volumes) + 1)]
    limb = path[:1]
    for frame in path[1:]:
        if volumes[frame] < volumes[limb[-1]]:
            limb.append(frame)
    return limb


def _between(volumes: npt.NDArray[np.float64], limb: list[int], volume: float) -> tuple[int, int]:
    """The frames of the limb whose volumes enclose this one."""
    for early, late in pairwise(limb):
        if volume >= volumes[late]:
            return early, late
    return limb[-1], limb[-1]


def _blend(
    labels: LabelMap, distances: dict[int, Array], pair: tuple[int, int], share: np.float32
) -> npt.NDArray[np.int16]:
    """Label codes (z, y, x) on the way between two frames; voxels that agree stay."""
    early, late = pair
    known = np.array([0, *labels.names.values()], dtype=np.int16)
    mixed = known[((1 - share) * distances[early] + share * distances[late]).argmin(axis=0)]
    before, after = labels.array[early], labels.array[late]
    return np.asarray(np.where(before == after, before, mixed), dtype=np.int16)


def _distances(labels: LabelMap, frame: int) -> Array:
    """Signed distance (k, z, y, x) to background and each structure, negative inside.

    Smoothed a little: voxel-wise distances come in steps, which would make all voxels of a border
    flip at once.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    found = []
    for code in (0, *labels.names.values()):
        mask = labels.array[frame] == code
        if not mask.any():
            found.append(np.full(mask.shape, 1e6, dtype=np.float32))
            continue
        outside = distance_transform_edt(~mask, sampling=labels.spacing_mm)
        inside = distance_transform_edt(mask, sampling=labels.spacing_mm)
        found.append(gaussian_filter((outside - inside).astype(np.float32), 0.7))
    return np.stack(found)


def _lowered(attributes: object, factor: float) -> dict[str, float]:
    known = dict(attributes)  # type: ignore[call-overload]
    for side in ("lv", "rv"):
        if f"{side}_edv_ml" in known and f"{side}_esv_ml" in known:
            edv = known[f"{side}_edv_ml"]
            stroke = factor * (edv - known[f"{side}_esv_ml"])
            known[f"{side}_esv_ml"], known[f"{side}_sv_ml"] = edv - stroke, stroke
            known[f"{side}_ef_percent"] = 100 * stroke / edv
    return known
