"""Case: one volume with what is known about it, in memory or yet to be read."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from audit.volume import LabelMap, Volume


@dataclass(frozen=True, kw_only=True)
class Case:
    """One volume with what is known about it.

    Attributes:
        id: Unique within its cohort.
        subject: Whose volume it is; several cases may share one.
        image: The volume. A case of ``conditions`` that has only a mask holds the mask's codes.
        labels: Its label map; for a synthetic case the map given with it, not the one asked for.
        condition: Id of the case in ``conditions`` that this synthetic case was asked to follow.
        group: Class or pathology, such as ``DCM``.
        attributes: Further numbers by name with unit, such as ``bsa_m2``.
    """

    id: str
    subject: str
    image: Volume
    labels: LabelMap | None = None
    condition: str | None = None
    group: str | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CaseSource:
    """Where one case comes from: what is known without reading voxels, and how to read them.

    Attributes:
        id: As in ``Case``.
        subject: As in ``Case``.
        read: Reads the case; called on every access, so that a cohort of any size fits.
        content_hash: Computes the SHA-256 of the bytes behind the case.
        condition: As in ``Case``.
        group: As in ``Case``.
        labeled: Whether the case comes with a label map.
    """

    id: str
    subject: str
    read: Callable[[], Case]
    content_hash: Callable[[], str]
    condition: str | None = None
    group: str | None = None
    labeled: bool = False


def hash_case(case: Case) -> str:
    """SHA-256 of a case's voxels, labels and geometry."""
    digest = hashlib.sha256()
    digest.update(repr((case.image.shape, case.image.spacing_mm, case.image.frame_ms)).encode())
    digest.update(np.ascontiguousarray(case.image.array).data)
    if case.labels is not None:
        digest.update(repr((sorted(case.labels.names.items()), case.labels.frames)).encode())
        digest.update(np.ascontiguousarray(case.labels.array).data)
    return digest.hexdigest()
