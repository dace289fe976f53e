"""Every notebook runs, at a size that the tests can afford, and is stored without outputs."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

SMALL = {
    "1_audit_a_folder": "n = 12\nonly = ('fidelity.kernel_distance',)\nwork = 'w'",
    "2_train_and_compare": (
        "n = 8\nsamples = 6\nfamilies = ['voldit', 'medlord', 'ldm', 'cardiodit']\n"
        "changes = {'stage1': {'steps': 2}, 'denoiser': {'steps': 2}, "
        "'sampling': {'steps': 2}}\nwork = 'w'"
    ),
    "3_memorization_study": (
        "from voxaudit.study import Setting\n"
        "settings = [Setting(name='few', patients=8), Setting(name='more', patients=9, views=2)]\n"
        "recipe = {'stage1': {'steps': 2}, 'denoiser': {'steps': 2, 'keep_every': 1}, "
        "'sampling': {'steps': 2}}\nsamples = 4\nheld_out = 5\nwork = 'w'"
    ),
    "4_carbon_budget": "steps = 4\nn = 8\nsamples = 12\nwork = 'w'",
    "5_add_a_metric": "n = 8",
}
SLOW = {"2_train_and_compare", "3_memorization_study"}


def small(notebook, name):
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []) and name in SMALL:
            cell.source = SMALL[name]
    return notebook


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)
def test_a_notebook_is_stored_without_outputs(file):
    for cell in nbformat.read(file, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


# In a process of its own: the client leaves an event loop behind, which would be a warning here.
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
"""


@pytest.mark.parametrize(
    "file",
    [pytest.param(f, marks=pytest.mark.slow if f.stem in SLOW else ()) for f in NOTEBOOKS],
    ids=lambda f: f.stem,
)
def test_a_notebook_runs(file, tmp_path):
    notebook = small(nbformat.read(file, as_version=4), file.stem)
    nbformat.write(notebook, tmp_path / file.name)
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, file.name],
        cwd=tmp_path,
        env={**os.environ, "VOXAUDIT_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
