"""What a planned run cannot decide is said before it starts."""

from audit.config import validate
from voxaudit.dry_run import undecidable


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
