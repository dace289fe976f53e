import ast
from pathlib import Path

import pytest

from audit.errors import BadInput
from audit.metric import METRICS


def test_the_folder_is_the_registry():
    assert "fidelity.frechet_distance" in METRICS.names()


def test_a_typo_gets_a_suggestion():
    with pytest.raises(BadInput, match=r"did you mean 'fidelity.frechet_distance'\?"):
        METRICS.load("fidelity.frechet_distanse")


def test_a_glob_that_fits_nothing_is_an_error():
    with pytest.raises(BadInput, match="matches nothing"):
        METRICS.match(("fidelty.*",))


def test_no_submodule_replaces_a_function_of_its_package():
    """Importing ``package.name`` sets ``name`` in the package, over a function called so."""
    root = Path(__file__).parent.parent
    for name in ("audit", "generators", "reports", "voxaudit"):
        for file in (root / name).rglob("__init__.py"):
            modules = {path.stem for path in file.parent.glob("*.py")}
            modules |= {path.parent.name for path in file.parent.glob("*/__init__.py")}
            tree = ast.parse(file.read_text(encoding="utf-8"))
            defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            assert defined & modules == set(), file
