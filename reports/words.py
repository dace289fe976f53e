"""Plain words and numbers: what sections ask, what things are called, how a value is printed."""

import math

from audit.result import AuditResult, Finding

SECTIONS: dict[str, tuple[str, str]] = {
    "fidelity": ("Fidelity", "Do the volumes look real?"),
    "diversity": ("Diversity", "Is the variety of the real cohort covered?"),
    "adherence": ("Mask adherence", "Do they obey the mask they were asked for?"),
    "anatomy": ("Anatomy", "Are organs there, of the right size and brightness?"),
    "cardiac": ("Cardiac function", "Does the synthetic heart beat like a real one?"),
    "memorization": ("Memorization", "Are training patients reproduced?"),
    "utility": ("Utility", "Are they of use in training?"),
    "footprint": ("CO₂ and cost", "What did each phase cost?"),
}

ORDER = (
    "fidelity", "diversity", "adherence", "cardiac", "memorization", "anatomy", "footprint",
    "utility",
)  # fmt: skip
HEADLINE = {
    "fidelity": ("kernel_distance", "frechet_distance"),
    "diversity": ("coverage", "recall", "vendi_score"),
    "adherence": ("dice", "missing_rate", "mask_excess", "hausdorff95"),
    "cardiac": (
        "ejection_fraction",
        "ventricular_volume",
        "myocardial_mass",
        "implausible_rate",
        "joint_function",
        "volume_curve",
    ),
    "memorization": ("copy_rate", "similarity_rate"),
    "anatomy": ("detection_rate", "joint_anatomy", "organ_volume"),
    "footprint": ("emissions", "energy_per_volume"),
}
METER = {
    "counter": "measured by counters",
    "sensor": "measured by a power sensor",
    "mixed": "partly measured, partly modelled",
    "modelled": "modelled, not measured",
}
LEADING_VARIANTS = ("all", "pooled", "lv")

_SHORT = {
    "lv": "LV", "rv": "RV", "edv": "EDV", "esv": "ESV", "ef": "EF", "sv": "SV", "iou": "IoU",
    "hd95": "HD95", "assd": "ASSD", "nsd": "NSD", "ssl3d": "ssl3d", "msssim": "MS-SSIM",
    "frechet": "Fréchet", "ibsi": "IBSI", "vs": "vs", "ms": "MS", "ssim": "SSIM",
    "auc": "AUC", "wasserstein": "Wasserstein", "co2": "CO₂", "hu": "HU",
    "mad": "MAD", "ncc": "NCC", "dar": "Dar", "prdc": "PRDC", "lge": "LGE",
    "ml": "(mL)", "mm": "(mm)", "g": "(g)", "percent": "(%)",
}  # fmt: skip

ARROWS = {"lower": "↓ is better", "higher": "↑ is better", "none": ""}


def section_names(result: AuditResult) -> list[str]:
    """Sections that have findings, in the order of the report; footprint also with a ledger."""
    present = {f.section for f in result.findings} | ({"footprint"} if result.ledger else set())
    return [s for s in ORDER if s in present] + sorted(present - set(ORDER))


def section_title(section: str) -> str:
    """Heading of a section; an unknown one is named after its folder."""
    return SECTIONS.get(section, (human(section), ""))[0]


def section_question(section: str) -> str:
    """The question that a section answers."""
    return SECTIONS.get(section, ("", ""))[1]


def human(name: str) -> str:
    """``ejection_fraction`` → ``Ejection fraction``."""
    words = [_SHORT.get(word, word) for word in name.replace(".", "_").split("_") if word]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def label(finding: Finding) -> str:
    """Name of a finding for a reader: metric and variant."""
    name = human(finding.name.split(".", 1)[-1])
    return f"{name}, {variant_words(finding.variant)}" if finding.variant else name


def variant_words(variant: str) -> str:
    """``lv max_directed`` → ``LV max directed``."""
    return " ".join(_SHORT.get(word, word) for word in variant.replace("_", " ").split(" "))


def number(value: float | None, digits: int = 3) -> str:
    """A number with a few significant digits; an en dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10**5 or size < 10**-4:
        return f"{value:.{digits - 1}e}".replace("e+0", "e").replace("e-0", "e−").replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{value:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")


def interval(finding: Finding) -> str:
    """``[low, high]``, or why there is none."""
    if finding.low is None or finding.high is None:
        return f"no interval ({finding.method})" if finding.method else "no interval"
    return f"[{number(finding.low)}, {number(finding.high)}]"


def floor_text(finding: Finding) -> str:
    """The reference points to read a value against."""
    ref = finding.reference
    parts = []
    for key in _REFERENCES:
        value = ref.get(key)
        if key == "real_vs_real" and value is not None and value == ref.get("ceiling"):
            continue  # the segmenter's score on real cases is the floor: once is enough
        if value is not None and (key != "null" or finding.section == "memorization"):
            name = reference_name(key, finding.section)
            ends = (ref.get(f"{key}_low"), ref.get(f"{key}_high"))
            span = f" [{number(ends[0])}, {number(ends[1])}]" if None not in ends else ""
            parts.append(f"{name} {number(value)}{span}")
    for role in ("real", "synthetic"):
        mean, sd = ref.get(f"{role}_mean"), ref.get(f"{role}_sd")
        if mean is not None and sd is not None:
            parts.append(f"{role} mean {number(mean)} ± {number(sd)}")
    return "; ".join(parts)


def reference_name(key: str, section: str) -> str:
    """What a reference point is, for a reader."""
    if key == "ceiling" and section not in SEGMENTED:
        return "best possible"
    return _REFERENCES[key]


SEGMENTED = ("adherence", "anatomy", "cardiac")
_REFERENCES = {
    "real_vs_real": "real against real",
    "ceiling": "segmenter's own score on real cases",
    "null": "if nothing were copied",
    "holdout": "hold-out",
    "detectable_rate": "detectable rate",
    "segmenter_bias": "segmenter's own bias, with limits of agreement",
}


def title(result: AuditResult) -> str:
    """Heading of a report: name and sizes."""
    sizes = [
        f"{result.cohorts[role].n} {word}"
        for role, word in (("synthetic", "synthetic"), ("train", "train"), ("holdout", "hold-out"))
        if role in result.cohorts
    ]
    return " · ".join([result.name or "Audit", *([" / ".join(sizes)] if sizes else [])])


def outcome(result: AuditResult) -> tuple[str, str]:
    """Overall word and its kind (``good``, ``bad``, ``open``, ``none``) from the verdicts."""
    from audit.gate import exit_code

    if not result.verdicts:
        return "NOT JUDGED", "none"
    code = exit_code(result.verdicts)
    return {
        0: ("PASS", "good"),
        1: ("FAIL", "bad"),
        3: ("NO DECISION", "open"),
        4: ("BROKEN", "bad"),
    }[code]


def rank(finding: Finding) -> int:
    """Leading metrics of a section first, breakdowns by class last, the rest as they came."""
    names = [f"{finding.section}.{metric}" for metric in HEADLINE.get(finding.section, ())]
    if finding.name in names:
        return names.index(finding.name)
    breakdown = "/" in finding.variant or finding.variant.startswith("aha")
    return 99 if breakdown or finding.name.endswith("_per_phase") else 50
