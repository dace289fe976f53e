"""What a report says first: a number a question, chosen by its evidence and put in plain words."""

from collections.abc import Sequence

from audit.result import AuditResult, Finding
from reports import words
from reports.drawings.forest import excess

ALARM = 0.05


def leading(name: str, result: AuditResult) -> Finding | None:
    """The finding that speaks for a section: its named metric, else its first number.

    Where several feature networks measured that metric, the one with the strongest evidence of a
    difference speaks: none may call fine what another calls different. One phase of many speaks
    for none: a folder of volumes has no energy of sampling.
    """
    done = [
        f
        for f in result.findings
        if f.section == name and f.status == "ok" and not f.name.endswith("_per_phase")
    ]
    for metric in words.HEADLINE.get(name, ()):
        fits = [f for f in done if f.name == f"{name}.{metric}"]
        if fits:
            return min(fits, key=_evidence)
    return min(done, key=words.rank) if done else None


def conclusion(result: AuditResult) -> list[str]:
    """The leading numbers in plain language, each with its limit; no overall score."""
    sentences = [
        _sentence(name, finding, result)
        for name in words.section_names(result)
        if (finding := leading(name, result)) is not None
    ]
    lacking = sum(f.status != "ok" for f in result.findings)
    if lacking:
        sentences.append(
            f"{lacking} of {len(result.findings)} numbers could not be computed; "
            "each says why in its section."
        )
    return sentences


def contradicted(finding: Finding, result: AuditResult) -> str:
    """What a section's other numbers say where its leading one finds no difference, or "".

    A generator of blobs may have hearts of the right ejection fraction: a number that is fine does
    not speak for the others. Those with a p-value are counted, adjusted among the whole result.
    """
    if _alarms(finding):
        return ""
    tested = [
        f
        for f in result.findings
        if f.section == finding.section and f.status == "ok" and f is not finding
        if isinstance(f.params.get("p_value_adjusted"), float)
    ]
    differ = [f for f in tested if f.params["p_value_adjusted"] <= ALARM]
    if not differ:
        return ""
    first = min(differ, key=words.rank)
    floor = first.reference.get("real_vs_real")
    value = f"{words.number(first.value)} {first.unit}".strip()
    value = f"{value} {words.interval(first)}".strip()
    against = f", real against real {words.number(floor)}" if floor is not None else ""
    verb = "differs" if len(differ) == 1 else "differ"
    return (
        f"{len(differ)} of {len(tested)} others tested {verb} from real, "
        f"{'namely' if len(differ) == 1 else 'among them'} {words.label(first)} ({value}{against})"
    )


def verdict_of(finding: Finding) -> str:
    """What the metric itself says of its number, or how its energy is known, or an empty string."""
    said = finding.params.get("verdict") or words.METER.get(finding.params.get("meter", ""))
    return said if isinstance(said, str) else ""


def adjusted(finding: Finding) -> str:
    """What a p-value is worth among the others of its result, or an empty string."""
    p = finding.params.get("p_value_adjusted")
    if not isinstance(p, float):
        return ""
    return f"{words.number(p, 2)} after adjusting for the {finding.params['p_family']}"


def _evidence(finding: Finding) -> tuple[float, float, int]:
    """Sorts the strongest evidence of a difference first.

    Feature networks: the smallest p, and where permutations cannot tell, the value furthest beyond
    real against real. Other variants are parts of one cohort, and the whole speaks.
    """
    order = {variant: i for i, variant in enumerate(words.LEADING_VARIANTS)}
    place = order.get(finding.variant, len(order))
    if not _of_network(finding):
        return 1.0, 0.0, place
    scaled = excess(finding)
    p = finding.p_value if finding.p_value is not None else 1.0
    return p, -scaled[0] if scaled else 0.0, place


def _of_network(finding: Finding) -> bool:
    return "extractor" in finding.params


def _sentence(name: str, finding: Finding, result: AuditResult) -> str:
    value = f"{words.number(finding.value)} {finding.unit}".strip()
    verb = "differs by" if of_distributions(finding) else "is"
    what = f"{words.label(finding)} {verb} {value} {words.interval(finding)}"
    head = f"{words.section_title(name)}: {what}"
    others = _other_networks(finding, result.findings)
    but = f" But {said}." if (said := contradicted(finding, result)) else ""
    return f"{head}{_reading(finding)}.{_instrument(finding)}{others}{but}{_consequence(finding)}"


def _instrument(finding: Finding) -> str:
    """How far the segmenter is off on real cases, where the number rests on it."""
    bias, low, high = (
        finding.reference.get(f"segmenter_bias{end}") for end in ("", "_low", "_high")
    )
    if bias is None or low is None or high is None:
        return ""
    off = f"{words.number(bias)} {finding.unit}".strip()
    ends = f"limits of agreement {words.number(low)} to {words.number(high)}"
    return f" The segmenter itself is off by {off} on real cases ({ends})."


def _other_networks(finding: Finding, findings: Sequence[Finding]) -> str:
    """What the other feature networks say of the same metric, so that none is left out."""
    others = [
        f"by {f.variant}: {said}"
        for f in findings
        if f.name == finding.name and f is not finding and _of_network(f)
        if f.status == "ok" and (said := verdict_of(f))
    ]
    return f" {'; '.join(others).replace('by', 'By', 1)}." if others else ""


def _reading(finding: Finding) -> str:
    floor = finding.reference.get("real_vs_real")
    ceiling = floor is not None and floor == finding.reference.get("ceiling")
    of = "the segmenter's own score on real cases" if ceiling else "real against real"
    against = f", against {words.number(floor)} for {of}" if floor is not None else ""
    if said := verdict_of(finding):
        p = f", p = {words.number(finding.p_value, 2)}" if finding.p_value is not None else ""
        return f"{against} (n = {finding.n}{p}{_among_networks(finding)}): {said}"
    if floor is None or finding.better == "none" or finding.low is None or finding.high is None:
        return f"{against}, n = {finding.n}"
    apart = _beyond_floor(finding)
    if ceiling:
        return f"{against}: " + ("below what real cases reach" if apart else
                                 f"not shown to be below it with n = {finding.n}")  # fmt: skip
    return f"{against} at the same n: " + (
        "worse than the difference between real cohorts"
        if apart
        else f"no worse than that, as far as n = {finding.n} can tell"
    )


def of_distributions(finding: Finding) -> bool:
    """Whether the value is a distance: "ejection fraction 2 %" would be read as the fraction."""
    return finding.params.get("statistic") == "Wasserstein-1"


def _alarms(finding: Finding) -> bool:
    p = finding.params.get("p_value_adjusted", finding.p_value)
    return (isinstance(p, float) and p <= ALARM) or _beyond_floor(finding)


def _beyond_floor(finding: Finding) -> bool:
    """Whether the whole interval is worse than what real cohorts reach among themselves."""
    floor, low, high = finding.reference.get("real_vs_real"), finding.low, finding.high
    if floor is None or finding.better == "none" or low is None or high is None:
        return False
    side = "high" if finding.better == "lower" else "low"
    best = finding.reference.get(f"real_vs_real_{side}")
    edge = best if best is not None else floor
    return low > edge if finding.better == "lower" else high < edge


def _among_networks(finding: Finding) -> str:
    """The adjusted p where the smallest of several speaks: alone it would alarm too often."""
    p = finding.params.get("p_value_adjusted")
    small = finding.p_value is not None and finding.p_value <= ALARM
    if not small or not _of_network(finding) or not isinstance(p, float):
        return ""
    return f", adjusted {words.number(p, 2)}{', no longer small' if p > ALARM else ''}"


def _consequence(finding: Finding) -> str:
    """What to do about copies; what a clean number leaves open, for it is no proof of privacy."""
    rate = finding.section == "memorization" and finding.better == "lower"  # no area under a curve
    if finding.name == "memorization.copy_rate" and finding.value:
        return (
            " cases.csv names them (memorization.copy_confirmed); `voxaudit filter RUN --out DIR` "
            "writes the cohort without them."
        )
    if not rate or finding.value != 0 or not finding.high:
        return ""
    return (
        f" This does not prove privacy: up to {words.number(100 * finding.high, 2)} % of such "
        "volumes could be copies, and more that the search cannot find (planted recovery says "
        "which)."
    )
