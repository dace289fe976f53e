"""Closest pairs of synthetic and training cases, worst first; patients hatched unless internal."""

from typing import Any

from reports import exemplars as ex
from reports.exemplars import Exemplar
from reports.gallery import flagged_copies
from reports.material import Material
from reports.words import number

MOST = 8


def closest_pairs(material: Material) -> list[dict[str, Any]]:
    """Rows for ``pairs.html.j2``.

    In a shareable report the patient is a hatched box, and so is a synthetic volume that the audit
    takes for a copy: it shows the patient as well. Pictures exist only for kept exemplars.
    """
    if material.pairs:
        return [_known_pair(row, material) for row in _by_similarity(material.pairs)]
    return _anonymous_pairs(material)


def _known_pair(row: dict[str, Any], material: Material) -> dict[str, Any]:
    synthetic, train = str(row.get("synthetic", "")), str(row.get("train", ""))
    made = _named([*material.synthetic, *material.paired], synthetic)
    real = _named([*material.real, *material.paired], train)
    return {
        "synthetic": synthetic,
        "train": train,
        "left": ex.webp_uri(ex.contact_sheet([made])) if made else None,
        "left_text": "not among those drawn",
        "right": ex.webp_uri(ex.contact_sheet([real])) if real else None,
        "text": f"similarity {number(float(row['similarity']))}",
    }


def _anonymous_pairs(material: Material) -> list[dict[str, Any]]:
    table = material.cases
    column = "memorization.similarity"
    if table is None or column not in table.columns:
        return []
    rows = table[(table["role"] == "synthetic") & table[column].notna()]
    rows = rows.sort_values([column, "id"], ascending=[False, True])
    copies = flagged_copies(material)
    pairs = []
    for place, (_, row) in enumerate(list(rows.iterrows())[:MOST], start=1):
        copied = row["id"] in copies and not material.public_phantoms
        drawn = [*material.synthetic, *material.paired]
        made = None if copied else _named(drawn, str(row["id"]))
        pairs.append(
            {
                "synthetic": str(row["id"]),
                "train": "",
                "left": ex.webp_uri(ex.contact_sheet([made])) if made else None,
                "left_text": "withheld: likely a copy" if copied else "not among those drawn",
                "right": None,
                "text": f"similarity {number(float(row[column]))}, closest {place} of {len(rows)}",
            }
        )
    return pairs


def worst_masks(material: Material) -> list[dict[str, Any]]:
    """Rows for ``worst.html.j2``: what was asked for beside what was made, on the same image.

    The mask asked for is a patient's and stays hatched in a shareable report, and so does a
    synthetic volume that the audit takes for a copy.
    """
    asked = {e.name: e for e in material.requested}
    hidden = set() if material.internal or material.public_phantoms else flagged_copies(material)
    return [
        _mask_pair(e, asked.get(e.name), hidden=e.name in hidden)
        for e in material.worst
        if e.labels is not None
    ]


def _mask_pair(made: Exemplar, asked: Exemplar | None, *, hidden: bool) -> dict[str, Any]:
    """Both masks on one slice: where most of what was asked for lies, if that may be known."""
    source = asked.labels if asked is not None and asked.labels is not None else made.labels
    assert source is not None
    z = ex.richest_slice(source[0])
    return {
        "name": made.name,
        "asked": ex.webp_uri(ex.labeled_slice(asked, z)) if asked is not None else None,
        "made": None if hidden else ex.webp_uri(ex.labeled_slice(made, z)),
    }


def _by_similarity(rows: Any) -> list[dict[str, Any]]:
    """Best training case of each synthetic one, most similar first."""
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda r: -float(r.get("similarity", 0.0))):
        best.setdefault(str(row.get("synthetic", "")), row)
    return list(best.values())[:MOST]


def _named(found: Any, name: str) -> Exemplar | None:
    return next((e for e in found if e.name == name), None)
