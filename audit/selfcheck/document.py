"""docs/selfcheck.md: how to read the matrix, and one table a population."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from audit.selfcheck.rows import Row, missed

# Their variants are structures; what matters is that the metric sees the failure in one of them.
BY_STRUCTURE = ("adherence", "anatomy", "cardiac")


def table(rows: Iterable[Row], population: str) -> str:
    """Markdown: metrics by failures, each cell the smallest strength seen.

    Bold where the metric declares the failure; a dash where it was not seen, ``n?`` where it is
    declared and the audit itself says that n is too small to say. Metrics that have one finding a
    structure get one line: the smallest strength that any of them saw.
    """
    mine = _merged([r for r in rows if r.population == population])
    failures = list(dict.fromkeys(r.failure for r in mine))
    lines = [
        f"| {population} | {' | '.join(f.replace('_', ' ') for f in failures)} | honest |",
        "|---" * (len(failures) + 2) + "|",
    ]
    for metric in dict.fromkeys(r.metric for r in mine):
        by_failure = {r.failure: r for r in mine if r.metric == metric}
        cells = [_cell(by_failure[f]) if f in by_failure else "" for f in failures]
        alarm = any(r.honest_alarm for r in by_failure.values())
        lines.append(f"| {metric} | {' | '.join(cells)} | {'alarm' if alarm else 'silent'} |")
    return "\n".join(lines)


def document(rows: Sequence[Row], *, subjects: int, extractors: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
        rows: After ``controlled``.
        subjects: In hold-out and synthetic.
        extractors: That were asked for; the page says which of them gave nothing.
    """
    populations = list(dict.fromkeys(r.population for r in rows))
    strengths = sorted({s for r in rows for s in r.strengths})
    intro = (
        "# What each metric sees\n\n"
        f"Written by `voxaudit selfcheck --full --out docs/selfcheck.md`; {subjects} subjects a "
        "cohort (train twice as many; up to 24 patches, all of one real scan), strengths "
        f"{', '.join(f'{s:g}' for s in strengths)} as defined in `audit.phantoms.spoil`.\n\n"
        "A cell is the smallest strength from which on the metric sees the failure; a dash: not "
        "seen. **Bold**: the metric declares that it detects it, with an extractor that is not "
        "made blind to it (`blind_to`). **n?**: declared and not seen, and the audit itself says "
        "of this n that it is too small to say (no shift of one standard deviation would be "
        "detected). Seen means worse than honest and significant: all tests of all planted cohorts "
        "of a population are one family, held to a false discovery rate of 5 % "
        "(Benjamini-Hochberg); a metric without a test, or with an alarm on the honest cohort, "
        "must leave the honest 95 % interval. Metrics of single structures have one line, for the "
        "one that sees the failure first. The last column says whether the honest cohort raised an "
        "alarm at p ≤ 0.05, which one in twenty honest tests must.\n\n"
        "`frechet_radiomics_distance` brings volumes to 2 mm, which takes minutes a phantom: it is "
        "asked of the middle 80 mm of each volume, after the failure was planted in the whole.\n\n"
        "Memorization and utility train networks on every cohort and are not in the table: "
        "`tests/test_metric_laws.py` holds them to what they declare, in the nightly run. How to "
        "read the dashes: `docs/fidelity.md`.\n"
    )
    parts = [intro, *_absent(rows, extractors)]
    for population in populations:
        parts += [table(rows, population) + "\n", _alarms(rows, population) + "\n"]
    lost = missed(rows)
    verdict = "; ".join(f"{m} misses {f}" for m, f in lost) if lost else "none"
    parts += [f"Declared but never seen: {verdict}.\n", _unseen(rows)]
    return "\n".join(parts)


def _absent(rows: Sequence[Row], extractors: Sequence[str]) -> list[str]:
    """A sentence that names the extractors without any number, where there are some."""
    used = {r.metric.partition("[")[2].rstrip("]").partition("/")[0] for r in rows}
    absent = [e for e in extractors if e not in used]
    return [f"Asked for, but not at hand where this was made: {', '.join(absent)}.\n"] * bool(
        absent
    )


def _unseen(rows: Sequence[Row]) -> str:
    """Every bold dash, with its p-value at the last strength."""
    dashes = [
        f"- {row.population}, {row.metric}, {row.failure.replace('_', ' ')}{_last_p(row)}"
        for row in _merged(rows)
        if row.declared and row.smallest_seen is None and not row.too_few
        if row.values[-1] is not None
    ]
    title = "Declared, seen elsewhere, and not seen here though n would allow to"
    return "\n".join([f"{title}:\n", *dashes, ""]) if dashes else f"{title}: none.\n"


def _last_p(row: Row) -> str:
    p = row.p_values[-1] if row.p_values else None
    return "" if p is None else f" (p = {p:.2g} at strength {row.strengths[-1]:g})"


def _alarms(rows: Sequence[Row], population: str) -> str:
    honest = {r.metric: r.honest_alarm for r in rows if r.population == population}
    turns = [r for r in rows if r.population == population and r.declared]
    steady = sum(r.monotone for r in turns)
    return (
        f"Honest {population}: {sum(honest.values())} of {len(honest)} findings raised an alarm. "
        f"Declared failures: {steady} of {len(turns)} answers never improve as the failure grows."
    )


def _merged(rows: Sequence[Row]) -> list[Row]:
    """One row for all structures of a metric and failure; the others as they are."""
    out: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        name = row.metric.split("[")[0]
        label = name if name.split(".")[0] in BY_STRUCTURE else row.metric
        key = (row.population, label, row.failure)
        shown = replace(row, metric=label)
        before = out.get(key)
        if before is None or (shown.smallest_seen or 2.0) < (before.smallest_seen or 2.0):
            before, shown = shown, before or shown
        alarm = before.honest_alarm or shown.honest_alarm
        out[key] = replace(before, honest_alarm=alarm)
    return list(out.values())


def _cell(row: Row) -> str:
    if all(v is None for v in row.values):
        return ""
    unseen = "n?" if row.declared and row.too_few else "–"
    text = unseen if row.smallest_seen is None else f"{row.smallest_seen:g}"
    return f"**{text}**" if row.declared else text
