"""report.html: one file that opens offline, and what may be shared of a run."""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from audit.errors import BadInput
from audit.result import AuditResult, write_text
from reports import gallery, provenance, sections, words
from reports.exemplars import as_json
from reports.gallery import STEPS, Detail, Gallery
from reports.headline import conclusion
from reports.material import Images, Material, read_material

TARGET_MB, CAP_MB = 5.0, 15.0


def write_report(
    run: str | Path, *, images: Images = "redacted", max_mb: float = CAP_MB, out: Path | None = None
) -> Path:
    """Render a run folder; works on an unfinished run too.

    Args:
        run: Run folder.
        images: ``redacted`` hides real patients; ``all`` shows them and writes
            report.internal.html with a banner; ``none`` draws no volume.
        max_mb: Hard cap on the file.
        out: Where to write; beside the result unless given.

    Returns:
        The file.

    Raises:
        BadInput: There is no result, or the cap is smaller than the page without any volume.
    """
    material = read_material(run, images=images)
    name = "report.internal.html" if material.internal else "report.html"
    path = out or Path(run) / name
    write_text(path, render_html(material, max_mb=max_mb))
    return path


def render_html(material: Material, *, max_mb: float = CAP_MB) -> str:
    """The page as text, with fewer and coarser volumes until it is under 5 MB."""
    page = ""
    body = _body(material)
    made: dict[Any, Any] = {}
    for step, detail in enumerate(STEPS):
        found = gallery.build(material, detail, made)
        page = _page(material, body, found, _reductions(step, detail, found))
        size_mb = len(page.encode()) / 1e6
        if size_mb <= min(TARGET_MB, max_mb):
            return page
    if len(page.encode()) / 1e6 > max_mb:
        raise BadInput(
            f"the report takes {len(page) / 1e6:.1f} MB without any volume",
            f"at most {max_mb:g}",
            "Raise --max-mb",
        )
    return page


def _body(material: Material) -> dict[str, Any]:
    """What does not depend on the level of detail; figures are drawn once."""
    result = material.result
    word, kind = words.outcome(result)
    names = words.section_names(result)
    regressed = [v.metric for v in result.verdicts if v.verdict == "REGRESSED"]
    return {
        "title": words.title(result),
        "meta": _meta(result),
        "internal": material.internal,
        "phantoms": material.public_phantoms,
        "judged": _judged(result),
        "smoke": result.provenance.get("profile") == "smoke",
        "outcome_kind": kind,
        "headline": _headline(result, word),
        "tiles": sections.tiles(result),
        "conclusion": conclusion(result),
        "verdicts": sections.verdict_rows(result.verdicts),
        "accept_command": f"voxaudit baseline accept RUN --metric '{regressed[0]}' --reason '…'"
        if regressed
        else "",
        "sections": [sections.section(name, material) for name in names],
        "provenance": provenance.provenance(result),
        "checklist": provenance.checklist(result),
        "footer": "Rendered by voxaudit. The volume viewer is NiiVue 0.69.0 (BSD-2-Clause, "
        "© 2021 Niivue).",
    }


def _page(
    material: Material, body: dict[str, Any], found: Gallery, reductions: Sequence[str]
) -> str:
    script = _asset("report.js")
    scripts = [script, gallery.niivue_code()[1]] if found.blocks else [script]
    nav = [
        ("gates", "Gates"),
        *([("volumes-section", "Volumes")] if found.images or found.withheld else []),
    ]
    nav += [(s["anchor"], s["title"]) for s in body["sections"]]
    nav += [("limits", "Limits"), ("provenance", "Provenance")]
    return _template().render(
        **body,
        nav=nav,
        images=found.images,
        withheld=found.withheld,
        limits=sections.limits(material, reductions),
        not_computed=sections.not_computed(material),
        # Marked safe: our own files, and JSON and base64 that cannot close their element.
        css=Markup(_asset("report.css")),
        script=Markup(script),
        script_hashes=Markup(" ".join(_csp_hash(s) for s in scripts)),
        volumes_json=Markup(as_json(found.entries)),
        data_blocks=found.blocks,
    )


def _reductions(step: int, detail: Detail, found: Gallery) -> list[str]:
    said = []
    if found.withheld:
        said.append(
            f"{found.withheld} synthetic volumes are not drawn: the memorization audit takes them "
            "for copies of patients."
        )
    if step:
        viewer = f"{detail.viewer} volume" if detail.viewer else "no volume"
        said.append(
            f"To keep the file small, the 3D viewer holds {viewer} and at most "
            f"{detail.exemplars} volumes a cohort are drawn, with up to {detail.slices} slices "
            f"along each axis at image quality {detail.quality}."
        )
    return said


def _meta(result: AuditResult) -> str:
    known = result.provenance
    parts = [
        f"profile {known['profile']}" if "profile" in known else "",
        f"seed {known['seed']}" if "seed" in known else "",
        f"extractors {', '.join(known['extractors'])}" if known.get("extractors") else "",
        f"{len(result.findings)} numbers",
        "" if result.status == "ok" else f"run {result.status}",
    ]
    return " · ".join(p for p in parts if p)


def _headline(result: AuditResult, word: str) -> str:
    words_found = [v.verdict for v in result.verdicts]
    order = ("FAILED", "REGRESSED", "ERROR", "NOT_COMPARABLE", "UNDERPOWERED", "SUSPECT")
    parts = [
        f"{words_found.count(w)} {w.lower().replace('_', ' ')}" for w in order if w in words_found
    ]
    if not parts and words_found:
        parts = [f"{len(words_found)} gate{'s' if len(words_found) > 1 else ''}"]
    return " · ".join([word, *parts])


def _judged(result: AuditResult) -> str:
    """How much of the audit the verdict rests on: a pass says nothing about the other numbers."""
    judged = {v.metric for v in result.verdicts}
    computed = sum(f.status == "ok" for f in result.findings)
    return f"Gates judge {len(judged)} of {computed} computed numbers; the rest is for reading."


def page_of(template: str, **values: Any) -> str:
    """Render another page in the report's style."""
    return str(_template(template).render(**values, css=Markup(_asset("report.css"))))


def _template(name: str = "report.html.j2") -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["prose"] = _prose
    return environment.get_template(name)


def _prose(sentence: str) -> Markup:
    """A sentence whose commands stand in backticks, as Markdown has them, for HTML."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def _asset(name: str) -> str:
    return (resources.files("reports") / "viewer" / name).read_text(encoding="utf-8")


def _csp_hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
