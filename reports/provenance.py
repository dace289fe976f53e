"""What it takes to repeat an audit, and which reporting items it gives evidence for."""

import json
from typing import Any

from audit.result import AuditResult
from reports import words


def provenance(result: AuditResult) -> list[dict[str, Any]]:
    """Cohorts, environment and hashes as name-value tables."""
    cohorts = [
        (role, f"{c.n} cases, {c.n_subjects} subjects, shape {c.shape}, spacing {c.spacing_mm} mm, "
               f"sha256 {c.hash[:16]}")
        for role, c in result.cohorts.items()
    ]  # fmt: skip
    plain = [(k, _flat(v)) for k, v in result.provenance.items() if k != "packages"]
    packages = result.provenance.get("packages", {})
    versions = list(packages.items()) if isinstance(packages, dict) else []
    networks = {
        f"{f.metric}": _flat({k: v for k, v in f.params.items() if "sha256" in k or k == "version"})
        for f in result.findings
        if any("sha256" in k for k in f.params)
    }
    blocks = [("Cohorts", cohorts), ("Settings", plain), ("Versions", versions),
              ("Weights behind each number", list(networks.items()))]  # fmt: skip
    return [{"title": title, "rows": rows} for title, rows in blocks if rows]


def checklist(result: AuditResult) -> list[tuple[str, str]]:
    """Which reporting items this run gives evidence for; item texts are paraphrases."""
    sections = set(words.section_names(result))
    done = sum(f.status == "ok" for f in result.findings)
    sizes = ", ".join(f"{c.n} {role}" for role, c in result.cohorts.items())
    open_item = "to be filled in by a person"
    return [
        ("Data sources and how cases were chosen", open_item),
        ("Sample sizes and independence of the split", f"{sizes}; no subject on both sides"),
        ("How cases were preprocessed", "under Provenance, Settings"),
        ("Statistical uncertainty", f"{done} numbers with method and n; see each table"),
        ("Agreement with real data (congruence)", _where("fidelity", sections)),
        ("Range of cases covered (coverage)", _where("diversity", sections)),
        ("Anatomical and functional plausibility",
         _where("cardiac" if "cardiac" in sections else "anatomy", sections)),
        ("Control over the content asked for", _where("adherence", sections)),
        ("Risk of reproducing patients", _where("memorization", sections)),
        ("Failure analysis", "under Limits and failures"),
        ("Energy and emissions", _where("footprint", sections)),
        ("Code, versions, seeds and weights", "under Provenance"),
        ("Intended use, and uses that are out of scope", open_item),
        ("Ethics approval and consent for the real cases", open_item),
    ]  # fmt: skip


def _where(name: str, present: set[str]) -> str:
    if name not in present:
        return "not measured in this run"
    return f"section {words.section_title(name)}"


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
