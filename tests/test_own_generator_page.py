"""docs/own-generator.md: its class runs as it is printed there."""

import re
from pathlib import Path

import yaml

from audit.config import validate
from audit.result import load_result
from voxaudit.run import run_all

PAGE = Path(__file__).parent.parent / "docs" / "own-generator.md"


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]


def test_the_class_of_the_page_is_trained_sampled_and_audited(tmp_path, monkeypatch):
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "generator.py").write_text(block("python"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("VOXAUDIT_CACHE", str(tmp_path / "cache"))
    (spec,) = yaml.safe_load(block("yaml"))["generators"]
    config = {
        "name": "r",
        "device": "cpu",
        "out": str(tmp_path / "r"),
        "data": {"phantom": {"kind": "thorax", "train": 6, "holdout": 5}},
        "generators": [spec | {"n": 5}],
        "metrics": {"only": ["fidelity.intensity_wasserstein_distance"],
                    "extractors": ["intensity"]},
    }  # fmt: skip
    (folder,) = run_all(validate(config), report=False)
    result = load_result(folder)
    assert result.cohorts["synthetic"].n == 5
    assert result["fidelity.intensity_wasserstein_distance"].value > 0
    times = [f.stat().st_mtime_ns for f in sorted((folder / "synthetic").glob("*.nii.gz"))]
    run_all(validate(config), report=False)
    assert [f.stat().st_mtime_ns for f in sorted((folder / "synthetic").glob("*.nii.gz"))] == times
