"""The pictures of volumes in the report, and what is withheld of them."""

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from reports import exemplars as ex
from reports.exemplars import Exemplar
from reports.material import Material

NIIVUE = "niivue-0.69.0.umd.js.gz"
ROLE_WORDS = {"synthetic": "synthetic", "train": "real, train", "holdout": "real, hold-out"}


@dataclass(frozen=True, kw_only=True)
class Detail:
    """How much of the volumes goes into the page; reduced step by step to fit its size.

    Attributes:
        exemplars: Most synthetic cases, and as many real ones where they may be shown.
        viewer: Volumes that the 3D viewer can open; 0 leaves the viewer out.
        quality: Of the WebP sprites.
        slices: Most slices along each axis; further ones are skipped evenly.
    """

    exemplars: int = 12
    viewer: int = 4
    quality: int = 82
    slices: int = 64


STEPS = (
    Detail(),
    Detail(viewer=1),
    Detail(exemplars=6, viewer=1),
    Detail(exemplars=4, viewer=1),
    Detail(exemplars=4, viewer=1, quality=60, slices=40),
    Detail(exemplars=3, viewer=0, quality=50, slices=32),
    Detail(exemplars=1, viewer=0, quality=25, slices=24),
    Detail(exemplars=0, viewer=0),
)
VIEWER_VOXELS = 600_000


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """What the template needs to show volumes.

    Attributes:
        images: Values of ``volumes.html.j2``; None where there is nothing to show.
        entries: Sprites for the page's script.
        blocks: Text blocks with the viewer and its volumes.
        withheld: Synthetic cases left out because they look like copies of patients.
    """

    images: dict[str, Any] | None
    entries: list[dict[str, Any]]
    blocks: list[dict[str, str]]
    withheld: int


def build(material: Material, detail: Detail, made: dict[Any, Any] | None = None) -> Gallery:
    """Sprites, stills and viewer volumes of a run at one level of detail.

    Args:
        material: The run.
        detail: How much.
        made: Sprites of earlier calls, reused and added to.
    """
    made = {} if made is None else made
    shown = _shareable(material)
    withheld = len(material.synthetic) - len(shown)
    synthetic = shown[: detail.exemplars]
    real = _spread(material.real, detail.exemplars)
    everything = [*synthetic, *real]
    if not everything:
        return Gallery(images=None, entries=[], blocks=[], withheld=withheld)
    entries = [_entry(e, detail, made) for e in everything]
    opened = _alternate(synthetic, real)[: detail.viewer]
    images = {
        "intro": _intro(synthetic, real, withheld),
        "sheets": [_sheet(group) for group in (synthetic, real) if group],
        "cines": _cines(synthetic, real, everything),
        "m_modes": [
            _m_mode(e) for e in [*synthetic[:4], *real[:4]] if e.is_cine and e.image.shape[0] > 1
        ],
        "stills": [
            {"src": ex.webp_uri(ex.middle_planes(e)), "caption": _caption(e)}
            for e in [*synthetic[:1], *real[:1]]
        ],
        "options": _options(everything, everything),
        "viewer": _options(opened, everything),
        "viewer_note": _viewer_note(opened),
        "has_masks": any("mask" in e["planes"]["axial"] for e in entries),
    }
    return Gallery(
        images=images,
        entries=entries,
        blocks=_blocks(opened, everything, made),
        withheld=withheld,
    )


def flagged_copies(material: Material) -> set[str]:
    """Ids of synthetic cases that the memorization audit takes for copies of patients."""
    table = material.cases
    if table is None:
        return set()
    columns = [
        c
        for c in table.columns
        if c.startswith("memorization.") and any(w in c for w in ("copy", "flagged", "memorized"))
    ]
    synthetic = table[table["role"] == "synthetic"]
    found: set[str] = set()
    for column in columns:
        marked = synthetic[column].astype(str).str.lower().isin({"1", "1.0", "true"})
        found |= set(synthetic["id"][marked].astype(str))
    return found


def niivue_code() -> tuple[str, str]:
    """The viewer's library as gzipped base64, and its source text."""
    packed = (resources.files("reports") / "viewer" / NIIVUE).read_bytes()
    return base64.b64encode(packed).decode(), gzip.decompress(packed).decode()


def _shareable(material: Material) -> list[Exemplar]:
    """Synthetic exemplars, without likely copies of patients where patients must not be shown."""
    if material.internal or material.public_phantoms:
        return list(material.synthetic)
    copies = flagged_copies(material)
    return [e for e in material.synthetic if e.name not in copies]


def _spread(found: Sequence[Exemplar], most: int) -> list[Exemplar]:
    """A few of each role, hold-out first."""
    holdout = [e for e in found if e.role == "holdout"]
    train = [e for e in found if e.role != "holdout"]
    return [*holdout[: most - most // 3], *train[: most // 3]][:most]


def _intro(synthetic: Sequence[Exemplar], real: Sequence[Exemplar], withheld: int) -> str:
    parts = [f"{len(synthetic)} synthetic volumes"]
    parts.append(f"{len(real)} real ones" if real else "real patients are withheld here")
    text = " beside ".join(parts) if real else "; ".join(parts)
    if withheld:
        text += f"; {withheld} synthetic volumes that look like copies of patients are withheld too"
    return f"{text}. Chosen evenly from the cohort, not by looks."


def _sheet(group: Sequence[Exemplar]) -> dict[str, Any]:
    role = "synthetic" if group[0].role == "synthetic" else "real"
    what = "first frame, middle slice" if group[0].is_cine else "middle axial slice"
    return {
        "cells": [
            {"src": ex.webp_uri(ex.contact_sheet([e])), "caption": _caption(e)} for e in group
        ],
        "caption": f"{len(group)} {role}: {what}",
    }


def _cines(
    synthetic: Sequence[Exemplar], real: Sequence[Exemplar], everything: Sequence[Exemplar]
) -> list[dict[str, Any]]:
    moving = [e for e in [*_alternate(synthetic, real)] if e.is_cine][:8]
    if not moving:
        return []
    views = [_cine(e, everything) for e in moving]
    if not real:
        views = views[:7]
        views.insert(1, {"index": None, "caption": "real"})
    return views


def _alternate(a: Sequence[Exemplar], b: Sequence[Exemplar]) -> list[Exemplar]:
    merged = []
    for i in range(max(len(a), len(b))):
        merged += [*a[i : i + 1], *b[i : i + 1]]
    return merged


def _cine(exemplar: Exemplar, everything: Sequence[Exemplar]) -> dict[str, Any]:
    still = ex.contact_sheet([exemplar], cell=160)
    return {
        "index": _position(exemplar, everything),
        "still": ex.webp_uri(still),
        "caption": _caption(exemplar),
    }


def _m_mode(exemplar: Exemplar) -> dict[str, str]:
    pixels = ex.resized(ex.m_mode(exemplar), 320, 200)
    return {"src": ex.webp_uri(pixels), "caption": _caption(exemplar)}


def _options(
    chosen: Sequence[Exemplar], everything: Sequence[Exemplar]
) -> list[dict[str, str | int]]:
    return [{"index": _position(e, everything), "caption": _caption(e)} for e in chosen]


def _entry(exemplar: Exemplar, detail: Detail, made: dict[Any, Any]) -> dict[str, Any]:
    key = (id(exemplar), detail.quality, detail.slices)
    if key not in made:
        made[key] = ex.viewer_entry(exemplar, quality=detail.quality, slices=detail.slices)
    entry: dict[str, Any] = made[key]
    return entry


def _blocks(
    opened: Sequence[Exemplar], everything: Sequence[Exemplar], made: dict[Any, Any]
) -> list[dict[str, str]]:
    if not opened:
        return []
    blocks = [{"id": "niivue-code", "text": niivue_code()[0]}]
    for exemplar in opened:
        i = _position(exemplar, everything)
        if id(exemplar) not in made:
            made[id(exemplar)] = _packed(ex.smaller(exemplar, VIEWER_VOXELS))
        blocks += [{"id": f"{kind}-{i}", "text": text} for kind, text in made[id(exemplar)]]
    return blocks


def _packed(exemplar: Exemplar) -> list[tuple[str, str]]:
    packed = [("nifti", ex.nifti_base64(exemplar))]
    if exemplar.labels is not None:
        packed.append(("labels", ex.nifti_base64(exemplar, "labels")))
    return packed


def _viewer_note(opened: Sequence[Exemplar]) -> str:
    if any(e.image.size > VIEWER_VOXELS for e in opened):
        return "Large volumes are opened at reduced resolution, to keep this file small."
    return ""


def _position(exemplar: Exemplar, everything: Sequence[Exemplar]) -> int:
    return next(i for i, e in enumerate(everything) if e is exemplar)


def _caption(exemplar: Exemplar) -> str:
    return f"{ROLE_WORDS.get(exemplar.role, exemplar.role)} · {exemplar.name}"
