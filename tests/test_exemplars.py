"""Volumes that a run keeps for its report: spread evenly, closest pairs apart, labels once made."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from audit.cohort import cohort_of
from audit.pseudonym import pseudonym
from audit.run_folder import write_exemplars
from audit.segmenter import Labels


@pytest.fixture
def kept(thorax_comparison, tmp_path):
    """A run folder with one close pair, and the comparison behind it, without label maps."""
    few = {role: getattr(thorax_comparison, role).subset(range(3))
           for role in ("train", "holdout", "synthetic")}  # fmt: skip
    bare = [replace(case, labels=None) for case in few["synthetic"]]
    few["synthetic"] = cohort_of("synthetic", bare)
    comparison = replace(thorax_comparison, **few, _made={})
    (tmp_path / "private").mkdir()
    row = {"synthetic": few["synthetic"].ids[2], "train": pseudonym(few["train"].ids[1])}
    pd.DataFrame([row | {"similarity": 0.9}]).to_csv(tmp_path / "private/pairs.csv", index=False)
    cases = {"id": few["synthetic"].ids, "role": "synthetic",
             "memorization.similarity": [0.1, 0.2, 0.9]}  # fmt: skip
    pd.DataFrame(cases).to_csv(tmp_path / "cases.csv", index=False)
    write_exemplars(tmp_path, comparison)
    return tmp_path, comparison, row


def names(folder):
    return [str(np.load(file)["id"]) for file in sorted(folder.glob("*.npz"))]


def test_the_closest_pair_is_kept_apart_and_the_patient_in_private(kept):
    folder, comparison, row = kept
    assert names(folder / "exemplars") == list(comparison.synthetic.ids)
    assert names(folder / "exemplars" / "pairs")[0] == row["synthetic"]
    assert names(folder / "private" / "exemplars" / "pairs") == [row["train"]]


def test_labels_of_a_segmenter_are_kept_once_made(kept):
    folder, comparison, _ = kept
    file = folder / "exemplars" / "000.npz"
    assert "labels" not in np.load(file).files
    maps = [case.labels for case in comparison.holdout]
    made = Labels(maps={"synthetic": maps}, source="built-in", params={})
    write_exemplars(folder, replace(comparison, _made={"labels": made}))
    assert np.array_equal(np.load(file)["labels"], maps[0].array)
    before = file.read_bytes()
    write_exemplars(folder, comparison)  # resumed: nothing asked for labels this time
    assert file.read_bytes() == before


def test_the_mask_asked_for_is_kept_in_private(thorax_comparison, tmp_path):
    comparison = replace(thorax_comparison, _made={})
    ids = list(comparison.synthetic.ids)
    dice = np.linspace(0.9, 0.1, len(ids))
    table = pd.DataFrame({"id": ids, "role": "synthetic", "adherence.dice.heart": dice})
    table.to_csv(tmp_path / "cases.csv", index=False)
    write_exemplars(tmp_path, comparison)
    worst = names(tmp_path / "exemplars" / "worst")
    assert worst == ids[::-1][:6]
    assert names(tmp_path / "private" / "exemplars" / "worst") == worst
    place = list(comparison.conditions.ids).index(comparison.synthetic.conditions[-1])
    with np.load(tmp_path / "private" / "exemplars" / "worst" / "000.npz") as stored:
        assert np.array_equal(stored["labels"], comparison.conditions[place].labels.array)
