"""What a report says of the segmenter: its Dice and its bias stand beside the numbers."""

from audit.result import Finding
from reports import words
from reports.sections import segmenter_notes


def finding() -> Finding:
    error = {"dice": {"lv": {"value": 0.96}}, "ef_bias": {"value": -1.4}}
    return Finding(
        metric="cardiac.ejection_fraction[lv]",
        status="ok",
        value=3.0,
        reference={
            "real_vs_real": 2.0,
            "segmenter_bias": -1.4,
            "segmenter_bias_low": -6.2,
            "segmenter_bias_high": 3.4,
        },
        params={"segmenter": "built-in", "segmenter_params": {"error": error}},
    )


def test_the_bias_of_the_segmenter_is_printed_beside_the_ejection_fraction():
    assert "segmenter's own bias, with limits of agreement −1.4 [−6.2, 3.4]" in words.floor_text(
        finding()
    )


def test_the_note_names_dice_and_bias():
    (note,) = segmenter_notes([finding()])
    assert "Dice on held-out real cases" in note
    assert note.endswith("Its LV ejection fractions are off by −1.4 points on average.")
