"""The matrix of metrics and planted failures: its rules, and a small run of it."""

import json
import os
from pathlib import Path

import pytest

from audit.cache import Cache
from audit.errors import BadInput
from audit.result import Finding
from audit.selfcheck import Row, _seen, document, missed, selfcheck, table


def row(seen: tuple[bool, ...], *, declared: bool = True, metric: str = "m[a]") -> Row:
    return Row(
        population="thorax",
        metric=metric,
        failure="noise",
        declared=declared,
        honest=0.0,
        honest_alarm=False,
        strengths=(0.25, 0.5, 1.0),
        values=(1.0, 2.0, 3.0),
        seen=seen,
        monotone=True,
    )


def test_smallest_strength_is_the_one_from_which_all_are_seen() -> None:
    assert row((True, True, True)).smallest_seen == 0.25
    assert row((True, False, True)).smallest_seen == 1.0
    assert row((True, True, False)).smallest_seen is None


def test_seen_needs_worse_and_a_small_p_value() -> None:
    honest = Finding(metric="m", value=1.0, low=0.5, high=1.5, p_value=0.4)
    assert _seen(Finding(metric="m", value=2.0, p_value=0.01), honest, float)
    assert not _seen(Finding(metric="m", value=2.0, p_value=0.2), honest, float)
    assert not _seen(Finding(metric="m", value=0.5, p_value=0.01), honest, float)
    assert not _seen(Finding(metric="m", status="not_computable", reason="none"), honest, float)


def test_without_a_test_the_honest_interval_must_be_left() -> None:
    honest = Finding(metric="m", value=1.0, low=0.5, high=1.5)
    assert _seen(Finding(metric="m", value=1.6), honest, float)
    assert not _seen(Finding(metric="m", value=1.4), honest, float)


def test_a_declared_failure_that_no_variant_sees_is_missed() -> None:
    blind, seeing = row((False,) * 3), row((True,) * 3, metric="m[b]")
    assert missed([blind]) == [("m", "noise")]
    assert missed([blind, seeing]) == []
    assert missed([row((False,) * 3, declared=False)]) == []


def test_document_marks_what_is_declared_and_says_what_is_missed() -> None:
    text = document([row((False, True, True))], subjects=8)
    assert "| m[a] | **0.5** | silent |" in text
    assert "Declared but never seen: none." in text
    assert "–" in table([row((False,) * 3)], "thorax")


def test_the_matrix_that_ships_is_the_documented_one() -> None:
    """An installed copy has no docs/; `cp docs/selfcheck.md reports/data/` after each renewal."""
    root = Path(__file__).parents[1]
    shipped = (root / "reports" / "data" / "selfcheck.md").read_text(encoding="utf-8")
    assert shipped == (root / "docs" / "selfcheck.md").read_text(encoding="utf-8")


def test_unknown_population_says_which_exist() -> None:
    with pytest.raises(BadInput, match=r"'knee'.*one of thorax, heart"):
        selfcheck(populations=("knee",))


def test_noise_is_seen_by_distances_and_shape_of_answers_is_serializable(tmp_path: Path) -> None:
    rows = selfcheck(
        only=("fidelity.kernel_distance", "diversity.recall"),
        populations=("thorax",),
        failures=("noise", "weak_contraction"),
        strengths=(0.5, 1.0),
        subjects=8,
        extractors=("intensity",),
        cache=Cache(tmp_path),
    )
    assert {r.failure for r in rows} == {"noise"}  # a chest cannot contract weakly
    kernel = next(r for r in rows if r.metric.startswith("fidelity.kernel"))
    assert kernel.smallest_seen == 0.5
    assert kernel.monotone
    assert not kernel.honest_alarm
    assert missed(rows) == []
    json.dumps([r.as_dict() for r in rows], allow_nan=False)


@pytest.mark.real
def test_noise_on_real_texture_is_seen(tmp_path: Path) -> None:
    """Patches of one scan are one patient: this shows sensitivity, nothing about a population."""
    given = os.environ.get("VOXAUDIT_REAL_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    scan = folder / "ct" / "cip_lung_ct_64.nrrd"
    if not scan.is_file():
        pytest.skip("no real lung CT: set VOXAUDIT_REAL_DATA to a folder with ct/")
    rows = selfcheck(
        only=("fidelity.gaussian_kernel_distance",),
        populations=(),
        patches_of=scan,
        failures=("noise",),
        strengths=(1.0,),
        extractors=("intensity",),
        cache=Cache(tmp_path),
    )
    assert [(r.population, r.smallest_seen) for r in rows] == [("patches", 1.0)]


@pytest.mark.slow
@pytest.mark.parametrize("population", ["thorax", "heart"])
def test_every_declared_failure_is_seen(population: str, tmp_path: Path) -> None:
    rows = selfcheck(
        populations=(population,), extractors=("intensity",), cache=Cache(tmp_path), subjects=24
    )
    allowed = {"weak_contraction", "jitter"} if population == "thorax" else set()
    assert [pair for pair in missed(rows) if pair[1] not in allowed] == []
