"""No file of a run outside private/ names a patient, whatever the cohorts are called."""

from dataclasses import replace

import pandas as pd
import pytest

import audit
from audit.cache import Cache
from audit.cohort import cohort_of, write_cohort
from audit.phantoms import thorax_cohort, with_conditions
from audit.pseudonym import pseudonym
from audit.result import load_result, write_text
from reports.card import render_card
from reports.export import write_tables
from reports.html import write_report
from reports.junit import render_junit
from reports.markdown import render_markdown

pytestmark = pytest.mark.slow  # test_scoring and tests/reports grep parts of it in every run
NAME = "Qwzxkov"
METRICS = ("fidelity.frechet_distance", "memorization.copy_rate", "adherence.*")


def named(cases, role):
    """The cases under ids and subjects that are recognizable in any file."""
    return [
        replace(case, id=f"{NAME}{role}{i}", subject=f"{NAME}{role}{i}")
        for i, case in enumerate(cases)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A generator that replays its training set, audited from folders that name patients."""
    place = tmp_path_factory.mktemp(NAME)
    train = named(thorax_cohort(8, seed=0), "train")
    holdout = named(thorax_cohort(19, seed=1), "holdout")
    conditions, _ = with_conditions(cohort_of("synthetic", train[:6]))
    conditions = named(conditions, "mask")
    synthetic = [
        replace(case, id=f"s{i}", subject=f"s{i}", condition=pseudonym(conditions[i].id))
        for i, case in enumerate(train[:6])
    ]
    cohorts = {"train": train, "holdout": holdout, "synthetic": synthetic, "conditions": conditions}
    for role, cases in cohorts.items():
        write_cohort(iter(cases), place / role)
    folder = place / "run"
    audit.score(
        **{role: place / role for role in cohorts},
        only=METRICS,
        out=folder,
        extractors=("intensity",),
        cache=Cache(place / "cache"),
        options={"memorization_extractor": "intensity"},
    )
    result = load_result(folder)
    write_report(folder)
    write_tables(folder, folder)
    write_text(folder / "report.md", render_markdown(result))
    write_text(folder / "junit.xml", render_junit(result))
    write_text(folder / "card.md", render_card(result))
    return folder


def test_nothing_outside_private_names_a_patient_or_a_path(run):
    kinds = set()
    for file in run.rglob("*"):
        part = file.relative_to(run)
        if not file.is_file() or part.parts[0] == "private":
            continue
        data = str(part).encode() + file.read_bytes()
        if file.suffix == ".parquet":  # compressed
            data += pd.read_parquet(file).to_csv().encode()
        assert NAME.encode() not in data, part
        assert str(run.parent).encode() not in data, part
        kinds.add(file.suffix)
    assert kinds >= {".json", ".csv", ".parquet", ".html", ".md", ".xml"}


def test_the_pairs_in_private_are_pseudonyms_that_only_the_owner_reads(run):
    pairs = run / "private" / "pairs.csv"
    assert set(pd.read_csv(pairs)["train"]) == {pseudonym(f"{NAME}train{i}") for i in range(6)}
    assert NAME not in pairs.read_text()
    assert (run / "private").stat().st_mode & 0o077 == 0


def test_samples_that_name_their_mask_by_pseudonym_are_paired_with_it(run):
    found = [f for f in load_result(run).findings if f.metric.startswith("adherence.dice")]
    assert any(f.status == "ok" and f.value > 0.99 for f in found)
