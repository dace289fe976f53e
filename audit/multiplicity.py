"""Many tests in one result: what each p-value is worth among the others.

A result with sixty p-values calls three honest cohorts different at 0.05. Every finding with a test
keeps its own p-value and gains two adjusted ones over the whole result: Benjamini-Hochberg (among
the findings at or below 0.05, at most 5 % are false on average) and Holm (a false one anywhere in
at most 5 % of results). Where a metric has adjusted its own variants, its unadjusted value enters.
"""

from collections.abc import Sequence

from audit.result import Finding
from audit.statistics.two_sample import benjamini_hochberg, holm


def with_adjusted_p_values(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings in their order; those with a test say what remains among all tests.

    ``params`` gains ``p_value_adjusted`` (Benjamini-Hochberg), ``p_value_holm`` and ``p_family``.
    A result with one test has nothing to adjust. Calling it again changes nothing.

    References:
        Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x; valid under the
        positive dependence that findings on the same volumes have (Benjamini and Yekutieli 2001,
        doi 10.1214/aos/1013699998). Holm 1979: any dependence.
    """
    tested = [k for k, f in enumerate(findings) if f.p_value is not None]
    if len(tested) < 2:
        return tuple(findings)
    own = [_own_p_value(findings[k]) for k in tested]
    adjusted = list(findings)
    for k, false_discovery, family_wise in zip(
        tested, benjamini_hochberg(own), holm(own), strict=True
    ):
        added = {
            "p_value_adjusted": float(false_discovery),
            "p_value_holm": float(family_wise),
            "p_family": f"{len(tested)} tests of this result",
        }
        adjusted[k] = findings[k].model_copy(update={"params": findings[k].params | added})
    return tuple(adjusted)


def _own_p_value(finding: Finding) -> float:
    unadjusted = finding.params.get("p_unadjusted")
    return float(unadjusted if unadjusted is not None else finding.p_value or 0.0)
