"""Train the built-in segmenter: a small MONAI DynUNet on the labeled real train cohort.

Chosen for small cohorts and two CPU cores: instance norm, anisotropic strides planned from the
spacing (nnU-Net's rule), at most ``VOXELS`` voxels a frame. Subjects, not cases, are split into
fit and validation; the weights with the best validation Dice are kept, and training stops when it
no longer rises. Weights are cached by content: same cases, settings and seed, same network.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.cohort import Cohort
from audit.errors import NotComputable
from audit.extractor import Workshop
from audit.preprocessing import Preprocessing
from audit.progress import track
from audit.segmenter.data import Frame, merge_unannotated, read_frames
from audit.segmenter.inference import Segmenter
from audit.segmenter.plan import Plan, make_plan

if TYPE_CHECKING:
    import torch

VOXELS = {"cpu": 65_536, "cuda": 1_000_000}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of the training; all of them are part of the cache key.

    Attributes:
        steps: Most optimization steps.
        batch: Most frames a step.
        step_voxels: Voxels a step, which large frames reach with fewer of them (two at least).
        learning_rate: Peak of a cosine schedule with AdamW.
        filters: Channels by level.
        check_every: Steps between validations.
        patience: Validations without a better Dice before training stops.
        validation_share: Of the subjects.
        version: Raised when the code changes what comes out.
    """

    steps: int = 320
    batch: int = 4
    step_voxels: int = 65_536
    learning_rate: float = 4e-3
    filters: tuple[int, ...] = (12, 24, 48, 64)
    check_every: int = 40
    patience: int = 3
    validation_share: float = 0.2
    version: int = 3


def fit_segmenter(
    labeled: Cohort, preprocessing: Preprocessing, workshop: Workshop, recipe: Recipe | None = None
) -> tuple[Segmenter, Cohort]:
    """Train on labeled real cases, or take the weights from the cache.

    Args:
        labeled: Cases with label maps that use the same names.
        preprocessing: Gives the intensity window and the typical shape and spacing.
        workshop: Cache, seed and device.
        recipe: Settings of the training.

    Returns:
        The segmenter, and the cases of the subjects held out for early stopping.

    Raises:
        NotComputable: Fewer than four labeled subjects, or label maps that disagree on names.
    """
    recipe = recipe or Recipe()
    names = _common_names(labeled)
    first = labeled[0].image
    plan = make_plan(
        names,
        preprocessing.shape[1:],
        preprocessing.spacing_mm if first.spacing_known else first.spacing_mm,
        temporal=preprocessing.shape[0] > 1,
        window=preprocessing.window if preprocessing.modality == "ct" else None,
        voxels=VOXELS.get(workshop.device, VOXELS["cuda"]),
        levels=len(recipe.filters),
    )
    fit, validation = split_by_subject(labeled, recipe.validation_share, workshop.seed)
    key = key_of(
        cases=[fit.hash, validation.hash],
        plan=asdict(plan),
        recipe=asdict(recipe),
        seed=workshop.seed,
    )
    stored = workshop.cache.arrays(
        key,
        lambda: train(fit, validation, plan, recipe, seed=workshop.seed, device=workshop.device),
    )
    best, steps = float(stored.pop("validation_dice")), int(stored.pop("steps"))
    params = {
        "name": "built-in DynUNet",
        "weights_sha256": hash_arrays(stored),
        "trained_on_subjects": len(set(fit.subjects)),
        "steps": steps,
        "validation_dice": best,
        "working_spacing_mm": list(plan.spacing_mm),
        "patch": list(plan.patch),
        "clean_up": "largest component per structure and frame, nodules excepted",
        "consistency_over_time": "input of three frames" if plan.temporal else "none",
    }
    return as_segmenter(
        stored, plan, recipe, device=workshop.device, key=key, params=params
    ), validation


def as_segmenter(
    weights: Mapping[str, npt.NDArray[Any]],
    plan: Plan,
    recipe: Recipe,
    *,
    device: str,
    key: str,
    params: dict[str, Any],
) -> Segmenter:
    """A network with these weights, ready to label volumes."""
    import torch

    network = build(plan, recipe, seed=0)
    network.load_state_dict({n: torch.from_numpy(w.copy()) for n, w in weights.items()})
    network.to(device).eval()
    return Segmenter(
        network=network,
        names=plan.names,
        spacing_mm=plan.spacing_mm,
        window=plan.window,
        patch=plan.patch,
        temporal=plan.temporal,
        device=device,
        key=key,
        params=params,
    )


def hash_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 over names and bytes of weights."""
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _common_names(labeled: Cohort) -> dict[str, int]:
    if len(set(labeled.subjects)) < 4:
        raise NotComputable(
            f"{len(set(labeled.subjects))} training subjects have label maps",
            "at least 4 to train the built-in segmenter",
            "Give label maps, or a network's file as segmenter",
        )
    all_names = [case.labels.names for case in labeled if case.labels is not None]
    names = dict(all_names[0])
    if not names or any(dict(n) != names for n in all_names):
        raise NotComputable(
            "label maps of the training cases disagree on names or codes", "the same in all"
        )
    return names


def split_by_subject(cohort: Cohort, share: float, seed: int) -> tuple[Cohort, Cohort]:
    """Split into (fit, validation) with no subject on both sides; at least one subject each."""
    subjects = sorted(set(cohort.subjects))
    count = max(1, round(share * len(subjects)))
    order = np.random.default_rng([seed, 8]).permutation(len(subjects))
    held = {subjects[i] for i in order[:count]}
    inside = [i for i, s in enumerate(cohort.subjects) if s in held]
    outside = [i for i, s in enumerate(cohort.subjects) if s not in held]
    return cohort.subset(outside), cohort.subset(inside)


def build(plan: Plan, recipe: Recipe, *, seed: int) -> "torch.nn.Module":
    """The untrained network; its initial weights follow the seed."""
    import torch
    from monai.networks.nets.dynunet import DynUNet

    levels = len(plan.kernels)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return DynUNet(
            spatial_dims=3,
            in_channels=3 if plan.temporal else 1,
            out_channels=len(plan.names) + 1,
            kernel_size=plan.kernels,
            strides=plan.strides,
            upsample_kernel_size=plan.strides[1:],
            filters=recipe.filters[:levels],
        )


def train(
    fit: Cohort, validation: Cohort, plan: Plan, recipe: Recipe, *, seed: int, device: str
) -> dict[str, npt.NDArray[Any]]:
    """Weights with the best validation Dice, with ``validation_dice`` and ``steps``."""
    import torch

    from audit.segmenter.data import augmentation, batch_of
    from audit.segmenter.loss import segmentation_loss

    network = build(plan, recipe, seed=seed).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    frames = [f for case in fit for f in read_frames(case, plan)]
    checks = [f for case in validation for f in read_frames(case, plan)]
    augment = augmentation(plan, seed)
    rng = np.random.default_rng([seed, 9])
    batch = min(recipe.batch, max(2, recipe.step_voxels // int(np.prod(plan.patch))))
    best, kept, since, step = -1.0, _snapshot(network), 0, 0
    for step in track(range(1, recipe.steps + 1), "training segmenter"):
        picks = rng.integers(0, len(frames), batch)
        images, codes, annotated = batch_of([frames[i] for i in picks], plan, augment, rng)
        network.train()
        scores = network(images.to(device))
        merged = merge_unannotated(scores, annotated.to(device))
        value = segmentation_loss(merged, codes.to(device), progress=step / recipe.steps)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        if step % recipe.check_every == 0 or step == recipe.steps:
            score = _validation_dice(network, checks, plan, device)
            since = 0 if score > best + 0.002 else since + 1
            if score > best:
                best, kept = score, _snapshot(network)
            if since >= recipe.patience:
                break
    return {**kept, "validation_dice": np.array(best), "steps": np.array(step)}


def _snapshot(network: "torch.nn.Module") -> dict[str, npt.NDArray[Any]]:
    return {n: w.detach().cpu().numpy().copy() for n, w in network.state_dict().items()}


def _validation_dice(
    network: "torch.nn.Module", frames: list[Frame], plan: Plan, device: str, most: int = 16
) -> float:
    """Mean Dice over structures, pooled over evenly chosen validation frames."""
    import torch
    from monai.inferers.utils import sliding_window_inference

    network.eval()
    picks = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int))
    both, total = np.zeros(len(plan.names)), np.zeros(len(plan.names))
    with torch.inference_mode():
        for i in picks:
            frame = frames[i]
            scores = sliding_window_inference(
                frame.image[None].to(device), plan.patch, 1, network, padding_mode="replicate"
            )
            made = merge_unannotated(scores, frame.annotated[None].to(device)).argmax(dim=1)[0]
            for k in range(len(plan.names)):
                if frame.annotated[k + 1]:
                    own, true = (made == k + 1).cpu(), frame.codes[0] == k + 1
                    both[k] += float((own & true).sum())
                    total[k] += float(own.sum() + true.sum())
    seen = total > 0
    return float((2 * both[seen] / total[seen]).mean()) if seen.any() else 0.0
