import pandas as pd
import pytest
from typer.testing import CliRunner

from audit.cache import Cache, key_of
from audit.cohort import read_cohort, write_cohort
from audit.commands import cache as cache_command
from audit.commands import filter as filter_command
from audit.errors import BadInput
from audit.phantoms import thorax_cohort


def app_of(*modules):
    import typer

    app = typer.Typer()
    app.callback()(lambda: None)
    for module in modules:
        module.register(app)
    return app


@pytest.fixture
def run(tmp_path):
    cohort = thorax_cohort(4, role="synthetic", seed=5, size=32)
    write_cohort(iter(cohort), tmp_path / "run" / "synthetic")
    table = pd.DataFrame(
        {
            "id": cohort.ids,
            "role": "synthetic",
            "memorization.flagged": [0, 1, 0, 0],
            "memorization.p_value": [0.5, 0.02, 0.04, 0.9],
        }
    )
    table.to_csv(tmp_path / "run" / "cases.csv", index=False)
    return tmp_path / "run"


@pytest.mark.parametrize(("flags", "kept"), [([], [0, 2, 3]), (["--suspicious"], [0, 3])])
def test_filter_writes_the_cohort_without_flagged_cases(run, tmp_path, flags, kept):
    command = ["filter", str(run), "--out", str(tmp_path / "out"), "--json", *flags]
    done = CliRunner().invoke(app_of(filter_command), command)
    assert done.exit_code == 0, done.output
    ids = read_cohort(run / "synthetic", role="synthetic").ids
    assert read_cohort(tmp_path / "out", role="synthetic").ids == tuple(ids[i] for i in kept)
    assert f'"dropped": {4 - len(kept)}' in done.output
    assert '"diversity_after"' in done.output


def test_filter_needs_an_audit_of_copies(run, tmp_path):
    (run / "cases.csv").write_text("id,role\nx,synthetic\n")
    command = ["filter", str(run), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app_of(filter_command), command)
    assert isinstance(done.exception, BadInput)
    assert "says nothing of copies" in str(done.exception)


def test_purge_deletes_what_the_cache_wrote_and_nothing_else(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.setenv("VOXAUDIT_CACHE", str(tmp_path))
    Cache(tmp_path).arrays(key_of(a=1), lambda: {"features": np.ones(3)})
    (tmp_path / "notes.txt").write_text("mine")
    done = CliRunner().invoke(app_of(cache_command), ["cache", "ls", "--json"])
    assert '"arrays"' in done.output
    done = CliRunner().invoke(app_of(cache_command), ["cache", "purge", "--yes"])
    assert done.exit_code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
