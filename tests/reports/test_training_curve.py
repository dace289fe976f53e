"""Copies over the training: drawn from curve.csv, left out where there is nothing to draw."""

from pathlib import Path

import pandas as pd

from audit.over_training import Moment, write_curve
from audit.result import AuditResult, Finding
from reports.drawings.training_curve import training_curves
from reports.figures.memorization import draw
from reports.material import Material
from reports.words import human


def moment(step: int, copies: float | None) -> tuple[Moment, AuditResult]:
    rate = (
        Finding(metric="memorization.copy_rate", status="not_computable", reason="no hold-out")
        if copies is None
        else Finding(
            metric="memorization.copy_rate", value=copies, low=copies / 2, high=copies + 0.1, n=32,
            reference={"real_vs_real": 0.02}, params={"verdict": "copies confirmed"},
        )
    )  # fmt: skip
    distance = Finding(
        metric="fidelity.kernel_distance[ssl3d]", value=1 / step, low=0.5 / step, high=2 / step, n=9
    )
    about = Moment(name=f"denoiser-{step}", step=step, about={"passes": 4.0 * step})
    return about, AuditResult(findings=(rate, distance))


def rows(folder: Path, *copies: float | None) -> list[dict[str, object]]:
    moments = [moment(step, rate) for step, rate in zip((5, 10, 20), copies, strict=False)]
    table = pd.read_csv(write_curve(moments, folder))
    assert table["passes"].tolist() == [20.0, 20.0, 40.0, 40.0, 80.0, 80.0][: len(table)]
    return table.to_dict(orient="records")  # type: ignore[return-value]


def test_shares_and_distances_stand_beside_each_other(tmp_path: Path) -> None:
    (drawn,) = training_curves(rows(tmp_path, 0.0, 0.1, 0.6))
    assert drawn.wide
    assert "3 moments of 32" in drawn.n
    assert drawn.data["step"] == [5, 10, 20, 5, 10, 20]
    assert drawn.data["value"][:3] == [0.0, 0.1, 0.6]
    assert f">{human('copy_rate')}<" in drawn.svg


def test_moments_without_a_number_are_left_out(tmp_path: Path) -> None:
    (drawn,) = training_curves(rows(tmp_path, None, 0.1, None))
    assert not drawn.wide  # one moment is no curve: only the distance is drawn
    assert set(drawn.data["metric"]) == {"fidelity.kernel_distance[ssl3d]"}
    assert list(training_curves(rows(tmp_path, 0.5))) == []
    assert list(training_curves([])) == []


def test_the_memorization_section_draws_it(tmp_path: Path) -> None:
    material = Material(result=AuditResult(), curve=rows(tmp_path, 0.0, 0.1, 0.6))
    assert [one.key for one in draw(material)] == ["training-curve"]
    assert list(draw(Material(result=AuditResult()))) == []
