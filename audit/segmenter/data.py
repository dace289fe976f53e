"""Training frames of the built-in segmenter: on its grid, augmented, with what was annotated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.cohort import Case
from audit.segmenter.inference import network_input
from audit.segmenter.own_error import annotated_frames
from audit.segmenter.plan import Plan
from audit.volume import LabelMap

if TYPE_CHECKING:
    import torch

FRAMES_PER_CASE = 6


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One labeled frame on the network's grid.

    Attributes:
        image: (c, z, y, x) about [-1, 1].
        codes: Classes (1, z, y, x), 0 for background, else the structure's place in the plan.
        annotated: Which classes the annotator drew here, (k,); background is always drawn.
    """

    image: "torch.Tensor"
    codes: "torch.Tensor"
    annotated: "torch.Tensor"


def read_frames(case: Case, plan: Plan) -> list[Frame]:
    """Labeled frames of a case: all, or ED, ES and some between where there are many."""
    import torch
    from torch.nn.functional import interpolate

    labels = case.labels
    if labels is None:
        return []
    frames = _chosen_frames(labels)
    images = network_input(
        case.image,
        tuple(frames),
        spacing_mm=plan.spacing_mm,
        window=plan.window,
        temporal=plan.temporal,
    )
    found = []
    known = {name: annotated_frames(labels, name) for name in plan.names}
    for image, frame in zip(images, frames, strict=True):
        classes = np.zeros(labels.array.shape[1:], dtype=np.float32)
        for k, code in enumerate(plan.names.values(), start=1):
            classes[labels.array[frame] == code] = k
        resized = interpolate(
            torch.from_numpy(classes)[None, None], size=list(image.shape[1:]), mode="nearest-exact"
        )[0]
        annotated = torch.tensor([True] + [frame in known[name] for name in plan.names])
        found.append(Frame(image=image, codes=resized, annotated=annotated))
    return found


def _chosen_frames(labels: LabelMap) -> list[int]:
    frames = list(labels.labeled_frames)
    if len(frames) <= FRAMES_PER_CASE:
        return frames
    volumes = [int((labels.array[f] > 0).sum()) for f in frames]
    if "lv" in labels.names:
        volumes = [int((labels.array[f] == labels.names["lv"]).sum()) for f in frames]
    order = np.argsort(volumes, kind="stable")
    picks = np.linspace(0, len(order) - 1, FRAMES_PER_CASE).round().astype(int)
    return sorted(frames[int(order[p])] for p in picks)


def merge_unannotated(scores: "torch.Tensor", annotated: "torch.Tensor") -> "torch.Tensor":
    """Count classes that nobody drew in a frame as background.

    Args:
        scores: (b, k, z, y, x), background first.
        annotated: (b, k).

    Returns:
        Scores whose softmax holds the merged shares (Shi et al. 2021, arXiv:2007.03868, Eq. 3).
    """
    import torch

    shown = annotated[:, :, None, None, None]
    hidden = torch.where(shown, torch.full_like(scores, -1e4), scores)
    background = torch.logsumexp(torch.cat([scores[:, :1], hidden[:, 1:]], dim=1), 1, keepdim=True)
    kept = torch.where(shown, scores, torch.full_like(scores, -1e4))
    return torch.cat([background, kept[:, 1:]], dim=1)


def augmentation(plan: Plan, seed: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Random turns about the long axis, scale, shift, contrast, noise and blur; never a mirror.

    Thick slices are not moved along z: interpolated between, they look blurred beside labels that
    are not, and a network taught so draws cavities too small at ED and too large at ES.
    """
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.dictionary import (
        RandAdjustContrastd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )
    from monai.transforms.spatial.dictionary import RandAffined

    isotropic = max(plan.spacing_mm) < 1.5 * min(plan.spacing_mm)
    turn, stretch, shift = (0.1, 0.1, 0.08) if isotropic else (0.0, 0.0, 0.0)
    chain = Compose(
        [
            RandAffined(
                keys=("image", "codes"),
                prob=0.8,
                rotate_range=(0.3, turn, turn),
                scale_range=(stretch, 0.12, 0.12),
                translate_range=(shift * plan.patch[0], *(0.08 * n for n in plan.patch[1:])),
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            RandAdjustContrastd(keys="image", prob=0.3, gamma=(0.7, 1.5)),
            RandScaleIntensityd(keys="image", prob=0.5, factors=0.15),
            RandShiftIntensityd(keys="image", prob=0.5, offsets=0.1),
            RandGaussianNoised(keys="image", prob=0.3, std=0.1),
            RandGaussianSmoothd(
                keys="image", prob=0.15, sigma_x=(0.3, 0.8), sigma_y=(0.3, 0.8), sigma_z=(0.1, 0.4)
            ),
        ]
    )
    chain.set_random_state(seed=seed)
    return chain


def batch_of(
    frames: Sequence[Frame],
    plan: Plan,
    augment: Callable[[dict[str, Any]], dict[str, Any]],
    rng: np.random.Generator,
) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
    """Augmented patches: images (b, c, z, y, x), classes (b, 1, z, y, x), annotated (b, k)."""
    import torch

    images, codes = [], []
    for frame in frames:
        both = _patch(torch.cat([frame.image, frame.codes]), plan.patch, rng)
        made = augment({"image": both[:-1], "codes": both[-1:]})
        images.append(torch.as_tensor(made["image"]).as_subclass(torch.Tensor))
        codes.append(torch.as_tensor(made["codes"]).as_subclass(torch.Tensor))
    return torch.stack(images), torch.stack(codes), torch.stack([f.annotated for f in frames])


def _patch(
    both: "torch.Tensor", patch: tuple[int, int, int], rng: np.random.Generator
) -> "torch.Tensor":
    """A random window, padded by the border's values where the frame is smaller."""
    from torch.nn.functional import pad

    missing = [max(0, want - size) for want, size in zip(patch, both.shape[1:], strict=True)]
    if any(missing):
        ends = [(m // 2, m - m // 2) for m in missing]
        flat = [side for pair in reversed(ends) for side in pair]
        both = pad(both[None], flat, mode="replicate")[0]
    for axis, want in enumerate(patch, start=1):
        start = int(rng.integers(0, both.shape[axis] - want + 1))
        both = both.narrow(axis, start, want)
    return both
