"""The study of copying at its smallest scale: what raises and what lowers it."""

from pathlib import Path

import pytest

from voxaudit.study import SETTINGS, study

ATTACK = "memorization.membership[loss]"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_over_training_raises_what_the_loss_attack_knows_and_two_remedies_lower_it(
    tmp_path: Path,
) -> None:
    table = study(tmp_path, settings=SETTINGS, only=("memorization.membership",))
    attack = table[table.metric == ATTACK].set_index(["setting", "step"])
    few = attack.loc["few patients"]
    assert few.value[1200] > few.value[300] + 0.1
    assert few.low[1200] > 0.5
    for remedy in ("augmentation", "more patients"):
        assert attack.loc[remedy].value[1200] < few.value[1200] - 0.1
