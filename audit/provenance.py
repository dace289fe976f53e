"""Where a result comes from: versions, seed, hardware and cohorts; no path, no identifier."""

import os
import platform
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.result import CohortSummary

PACKAGES = (
    "voxaudit", "torch", "torchvision", "monai", "numpy", "scipy", "scikit-learn", "pandas",
    "faiss-gpu", "faiss-cpu", "codecarbon", "nibabel", "SimpleITK", "pydicom",
)  # fmt: skip


@cache
def package_versions() -> dict[str, str]:
    """Installed versions of what numbers depend on."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def provenance_of(comparison: Comparison) -> dict[str, Any]:
    """What a reader needs to repeat the audit."""
    profile = comparison.options.get("profile")
    return {
        **({"profile": str(profile)} if profile else {}),
        **work_tree(Path.cwd()),
        "packages": package_versions(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "device": _device_name(comparison.workshop.device),
        "seed": comparison.workshop.seed,
        "command": [_without_path(argument) for argument in sys.argv[1:]],
        "preprocessing": comparison.preprocessing.as_params(),
        "extractors": list(comparison.extractor_names),
        "segmenter": str(type(comparison.options.get("segmenter", "auto")).__name__)
        if not isinstance(comparison.options.get("segmenter", "auto"), str)
        else _without_path(comparison.options.get("segmenter", "auto")),
        "real_images_public": bool(comparison.options.get("real_images_public", False)),
    }


def work_tree(folder: Path) -> dict[str, Any]:
    """Commit of the folder a run was started from, and whether tracked files differ from it.

    Empty where it is no git work tree, or git is not installed.
    """

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"git_commit": commit, "git_dirty": bool(changed)}


def describe_cohort(cohort: Cohort, *, look_at: int = 16) -> CohortSummary:
    """Size, hash and most common geometry of a cohort, from its first volumes."""
    shapes: Counter[tuple[int, ...]] = Counter()
    spacings: Counter[tuple[float, ...] | None] = Counter()
    for i in range(min(look_at, len(cohort))):
        image = cohort[i].image
        shapes[image.shape] += 1
        spacings[tuple(round(s, 4) for s in image.spacing_mm) if image.spacing_known else None] += 1
    return CohortSummary(
        n=len(cohort),
        n_subjects=len(set(cohort.subjects)),
        hash=cohort.hash,
        labeled=cohort.labeled,
        shape=shapes.most_common(1)[0][0],
        spacing_mm=spacings.most_common(1)[0][0],
        notes=cohort.notes,
    )


def _without_path(argument: str) -> str:
    """Paths name hospitals and patients: keep the flag, drop the place."""
    if os.sep in argument or argument.endswith((".csv", ".yaml", ".nii", ".gz")):
        flag, equals, _ = argument.partition("=")
        return f"{flag}=<path>" if equals and os.sep not in flag else "<path>"
    return argument


def _device_name(device: str) -> str:
    if device == "cpu":
        return platform.processor() or platform.machine()
    import torch

    return torch.cuda.get_device_name()
