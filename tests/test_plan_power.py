"""What a planned run cannot decide is said before it starts."""

from audit.config import validate
from voxaudit.dry_run import plan, undecidable


def test_the_plan_says_what_its_number_of_volumes_cannot_show(tmp_path):
    settings = validate(
        {
            "name": "mine",
            "data": {"phantom": {"kind": "thorax"}},
            "generators": [{"id": "ldm", "kind": "ldm", "n": 40}],
        }
    )
    gates = tmp_path / "gates.yaml"
    assert undecidable(settings, gates) == []
    gates.write_text("gates:\n  - metric: memorization.copy_rate\n    max: 0.01\n")
    (note,) = undecidable(settings, gates)
    assert note.startswith("ldm: memorization.copy_rate")
    assert "40 volumes" in note
    assert "it takes 299" in note


def test_replicates_are_part_of_what_sampling_and_scoring_cost(monkeypatch):
    monkeypatch.setattr(
        "audit.throughput.predict",
        lambda _kind, _preset, _step, n: {"time_s": float(n), "energy_kwh": None},
    )
    settings = validate(
        {
            "name": "mine",
            "replicates": 3,
            "data": {"phantom": {"kind": "thorax"}},
            "generators": [
                {"id": "copies", "kind": "replay", "n": 10},
                {"id": "given", "kind": "folder", "path": "made", "n": 10},
            ],
        }
    )
    rows = {(row["generator"], row["step"]): row for row in plan(settings)}
    assert rows["copies", "sample"]["work"] == "10 volumes with each of 3 seeds"
    assert rows["copies", "score"]["time_s"] == 30
    assert rows["given", "score"]["time_s"] == 10
