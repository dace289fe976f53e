"""A result where people work: pandas, pictures as axes, HTML that cannot be injected."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import audit
from audit.compare import Run, compare, comparison_frame
from audit.errors import BadInput
from audit.result import AuditResult, Finding, Verdict, write_result

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def run(tmp_path):
    finding = Finding(metric="fidelity.x", value=1.0, low=0.5, high=1.5, level=0.95, n=9,
                      better="lower", comparability="k")  # fmt: skip
    write_result(AuditResult(name="mine", status="ok", findings=(finding,)), tmp_path)
    pd.DataFrame({"id": ["a"], "role": ["synthetic"], "m.x": [2.0]}).to_csv(
        tmp_path / "cases.csv", index=False
    )
    (tmp_path / "exemplars").mkdir()
    for name, frames in (("still", 1), ("beating", 12)):
        np.savez(
            tmp_path / "exemplars" / f"{name}.npz",
            image=np.zeros((frames, 6, 8, 10), np.uint8),
            spacing_mm=np.ones(3),
            id=np.array(name),
            role=np.array("synthetic"),
        )
    return audit.load_result(tmp_path)


def test_a_case_is_drawn_as_axes_in_three_planes_or_in_time(run):
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    with mpl.rc_context({"backend": "Agg"}):
        planes = run.show("still")
        frames = run.show("beating", kind="cine")
        assert [ax.get_title() for ax in planes] == ["axial", "coronal", "sagittal"]
        assert [ax.get_title() for ax in frames][::7] == ["frame 0", "frame 11"]
        assert all(len(ax.images) == 1 for ax in (*planes, *frames))
        plt.close("all")


def test_what_cannot_be_drawn_says_why(run):
    with pytest.raises(BadInput, match="single frame"):
        run.show("still", kind="cine")
    with pytest.raises(BadInput, match="no case 'stil'.*still"):
        run.show("stil")
    with pytest.raises(BadInput, match="no run folder"):
        AuditResult().show()
    with pytest.raises(BadInput, match="no run folder"):
        AuditResult().cases()


def test_per_case_values_are_a_table_and_the_folder_is_never_written(run, tmp_path):
    assert run.cases()["m.x"].tolist() == [2.0]
    assert str(tmp_path) not in run.model_dump_json()
    assert run.model_copy(update={"name": "b"}).cases().shape == (1, 3)


def test_html_shows_verdicts_numbers_and_reasons_and_escapes_all_of_them():
    findings = (
        Finding(metric=f"a.b[{HOSTILE}]", value=1.0, unit=HOSTILE, reference={"real_vs_real": 0.5}),
        Finding(metric="a.c", status="not_computable", reason=HOSTILE),
    )
    verdict = Verdict(gate=HOSTILE, metric=HOSTILE, verdict="REGRESSED", message=HOSTILE)
    result = AuditResult(name=HOSTILE, findings=findings, verdicts=(verdict,))
    page = result._repr_html_()
    assert "<script" not in page
    for text in ("REGRESSED", "1 not computed", "0.5", "not finished"):
        assert text in page
    assert Run(name="r", result=result)._repr_html_() == page
    assert "Not judged" in AuditResult()._repr_html_()


def test_a_comparison_is_a_table(run):
    table = comparison_frame(compare([Run(name="a", result=run), Run(name="b", result=run)]))
    assert table.loc[0, ["metric", "word"]].tolist() == ["fidelity.x", "no difference shown"]


def test_reading_a_result_loads_no_drawing_library():
    code = "import sys, audit.result; sys.exit(bool({'matplotlib', 'reports'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
