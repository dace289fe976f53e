"""The study of copying at its smallest scale: what raises and what lowers it."""

from pathlib import Path

import pytest

from voxaudit.study import SETTINGS, study

ATTACK = "memorization.membership[loss]"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_over_training_raises_and_more_patients_lower_what_the_loss_attack_knows(
    tmp_path: Path,
) -> None:
    chosen = [s for s in SETTINGS if s.name in ("few patients", "more patients")]
    table = study(tmp_path, settings=chosen, only=("memorization.membership",))
    attack = table[table.metric == ATTACK].set_index(["setting", "step"])
    few, more = attack.loc["few patients"], attack.loc["more patients"]
    assert few.value[1200] > few.value[300] + 0.1
    assert few.low[1200] > 0.5
    assert more.value[1200] < few.value[1200] - 0.1
