"""The study of copying at its smallest scale: what raises and what lowers it."""

from pathlib import Path

import pytest

from voxaudit.study import SETTINGS, study

ATTACK = "memorization.membership[loss]"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_over_training_raises_what_the_loss_attack_knows_of_patients(tmp_path: Path) -> None:
    few = SETTINGS[0]
    table = study(tmp_path, settings=[few], only=("memorization.membership",))
    attack = table[table.metric == ATTACK].set_index("step")
    assert attack.value[1200] > attack.value[300] + 0.1
    assert attack.low[1200] > 0.5
