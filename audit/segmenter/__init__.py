"""Label maps of all cohorts of an audit, and the error of whatever made them.

Three sources, named in every result: label maps **given** with the cases; a **network** from a
local file; or the **built-in** network, trained on the labeled train cohort. The error of a network
is measured on labeled real cases that it did not learn from; a structure whose median Dice there
may be below 0.7 (lower end of the interval) is not used to judge anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from audit.cohort import Case, Cohort
from audit.errors import BadInput, NotComputable
from audit.extractor import Workshop
from audit.preprocessing import Preprocessing
from audit.segmenter.own_error import SegmenterError
from audit.volume import LabelMap

if TYPE_CHECKING:
    from audit.segmenter.inference import Segmenter

__all__ = ["LEAST_DICE", "Labels", "SegmenterError", "obtain_labels"]

LEAST_DICE = 0.7
Map = LabelMap | NotComputable
Source = Literal["given", "network", "built-in"]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Label maps by role, and where they come from.

    Attributes:
        maps: By role (train, holdout, synthetic), one per case in cohort order; real cases keep the
            maps given with them.
        source: What made the maps of the synthetic cases that came without one.
        params: What a result must say of it: network, weights' SHA-256, training, own error.
        error: Of the network on held-out real cases; None where all maps were given.
        segmented: By role, what the network says of real cases that came with a map, so that real
            and synthetic can be read with the same instrument; empty where all maps were given.
    """

    maps: dict[str, list[Map]]
    source: Source
    params: dict[str, Any]
    error: SegmenterError | None = None
    segmented: dict[str, list[Map]] = field(default_factory=dict)

    def require(self, structure: str) -> None:
        """Check that a structure may be judged by.

        Raises:
            NotComputable: No map names it, or the network is too poor for it.
        """
        known = {
            name
            for maps in self.maps.values()
            for found in maps
            if isinstance(found, LabelMap)
            for name in found.names
        }
        if not known:
            reasons = [
                m for maps in self.maps.values() for m in maps if not isinstance(m, LabelMap)
            ]
            raise reasons[0] if reasons else NotComputable("there are no label maps", "some")
        if structure not in known:
            raise NotComputable(
                f"no label map names '{structure}'", f"one of {', '.join(sorted(known))}"
            )
        if self.error is None:
            return
        dice = self.error.dice.get(structure)
        if dice is None:
            raise NotComputable(
                f"the segmenter's error for '{structure}' is unknown",
                "labeled real cases that show it",
                "Give label maps of hold-out cases, or of the synthetic ones",
            )
        least = dice.value if dice.low is None else dice.low
        if least < LEAST_DICE:
            raise NotComputable(
                f"the segmenter's median Dice for '{structure}' on held-out real is "
                f"{dice.value:.2f} with a lower end of {least:.2f}",
                f"{LEAST_DICE} or more",
                "Give more labeled training cases, a better network, or label maps",
            )


def obtain_labels(
    *,
    train: Cohort,
    holdout: Cohort,
    synthetic: Cohort,
    preprocessing: Preprocessing,
    workshop: Workshop,
    choice: str | Path = "auto",
    steps: int | None = None,
) -> Labels:
    """Collect given label maps and make the missing ones.

    Args:
        train: Real cases; the built-in network learns from those that carry labels.
        holdout: Real cases on which the network's error is measured.
        synthetic: Cases to label.
        preprocessing: Decides the network's intensity window.
        workshop: Cache, seed and device.
        choice: ``auto`` (given maps win, else built-in), ``given``, ``built-in`` (also where the
            synthetic cases have maps), or the path of a network (see ``audit.segmenter.network``).
        steps: Most optimization steps of the built-in network; None takes its recipe's.

    Raises:
        NotComputable: Nothing gives labels here.
        BadInput: The choice is unknown or the network's file cannot be used.
    """
    cohorts = {"train": train, "holdout": holdout, "synthetic": synthetic}
    use_given = str(choice) in ("auto", "given")
    if str(choice) == "given" or (str(choice) == "auto" and synthetic.labeled):
        return _given(cohorts)
    with workshop.ledger.phase("audit.segmenter"):
        segmenter, source, validation = _segmenter(
            str(choice), train, holdout, preprocessing, workshop, steps
        )
        maps = {
            role: _maps(cohort, segmenter, workshop, keep=use_given or role != "synthetic")
            for role, cohort in cohorts.items()
        }
        judged = "holdout" if any(s.labeled for s in holdout.sources) else "validation"
        known = holdout if judged == "holdout" else validation
        truths, predicted = _truth_and_prediction(known, segmenter, workshop)
    from audit.segmenter.own_error import measure_error

    error = measure_error(truths, predicted, known.subjects, seed=workshop.seed)
    segmented = {"holdout": predicted} if judged == "holdout" else {}
    params = {
        **segmenter.params,
        "error_on": judged,
        "error": error.as_params(),
        "too_poor_below": LEAST_DICE,
        "given_synthetic": sum(s.labeled for s in synthetic.sources) if use_given else 0,
    }
    return Labels(maps=maps, source=source, params=params, error=error, segmented=segmented)


def checked(case: Case) -> Map:
    """The label map given with a case, or the reason why it cannot be used."""
    labels = case.labels
    if labels is None:
        return NotComputable("a case has no label map", "one", "Give it, or choose a segmenter")
    if labels.array.shape != case.image.array.shape[1:]:
        return NotComputable(
            f"a label map has shape {labels.array.shape}",
            f"the image's {case.image.array.shape[1:]}",
        )
    if not labels.names:
        return NotComputable(
            "a label map names no structure", "names for its codes", "Add labels.json beside it"
        )
    return labels


def _given(cohorts: dict[str, Cohort]) -> Labels:
    if not cohorts["synthetic"].labeled:
        raise NotComputable(
            "synthetic cases came without label maps", "one for each", "Choose segmenter: built-in"
        )
    maps = {role: [checked(case) for case in cohort] for role, cohort in cohorts.items()}
    return Labels(maps=maps, source="given", params={"name": "given label maps"})


def _segmenter(
    choice: str,
    train: Cohort,
    holdout: Cohort,
    preprocessing: Preprocessing,
    workshop: Workshop,
    steps: int | None,
) -> tuple["Segmenter", Source, Cohort]:
    """The network, its kind, and labeled real cases it did not learn from, should holdout lack."""
    labeled = train.subset([i for i, s in enumerate(train.sources) if s.labeled])
    if choice in ("auto", "built-in"):
        from audit.segmenter.training import Recipe, fit_segmenter

        recipe = Recipe() if steps is None else Recipe(steps=steps)
        segmenter, validation = fit_segmenter(labeled, preprocessing, workshop, recipe)
        return segmenter, "built-in", validation
    if choice == "given" or not Path(choice).exists():
        raise BadInput(
            f"segmenter is '{Path(choice).name}'", "auto, given, built-in, or a network's file"
        )
    from audit.segmenter.network import load_network

    real = labeled if len(labeled) else holdout
    return load_network(Path(choice), real, preprocessing, workshop), "network", labeled


def _maps(cohort: Cohort, segmenter: "Segmenter", workshop: Workshop, *, keep: bool) -> list[Map]:
    from audit.segmenter.inference import segment_cohort

    kept = [i for i, s in enumerate(cohort.sources) if keep and s.labeled]
    todo = [i for i in range(len(cohort)) if i not in set(kept)]
    made = segment_cohort(cohort.subset(todo), segmenter, workshop.cache)
    found: dict[int, Map] = dict(zip(todo, made, strict=True))
    found |= {i: checked(cohort[i]) for i in kept}
    return [found[i] for i in range(len(cohort))]


def _truth_and_prediction(
    cohort: Cohort, segmenter: "Segmenter", workshop: Workshop
) -> tuple[Sequence[Map], list[Map]]:
    from audit.segmenter.inference import segment_cohort

    predicted: list[Map] = list(segment_cohort(cohort, segmenter, workshop.cache))
    return [checked(case) for case in cohort], predicted
