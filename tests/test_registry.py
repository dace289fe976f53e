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
