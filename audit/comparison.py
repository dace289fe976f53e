"""Comparison: the cohorts of one audit, and what several metrics need of them, computed once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from audit.cohort import Cohort
from audit.errors import NotComputable
from audit.extractor import EXTRACTORS, Encoder, Workshop, embed_cohort
from audit.ledger_lines import Line, fold, read_all
from audit.preprocessing import Preprocessing
from audit.pseudonym import pseudonym
from audit.result import PhaseRecord

if TYPE_CHECKING:
    from audit.segmenter import Labels

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Features:
    """Features of all cohorts from one extractor.

    Attributes:
        extractor: Its name.
        train: (n, d), one row per volume.
        holdout: (m, d).
        synthetic: (k, d).
        train_subjects: Subject of each train row.
        holdout_subjects: Subject of each holdout row.
        synthetic_subjects: Subject of each synthetic row (each sample is its own).
        params: What the result must say of the extractor.
    """

    extractor: str
    train: npt.NDArray[np.float64]
    holdout: npt.NDArray[np.float64]
    synthetic: npt.NDArray[np.float64]
    train_subjects: tuple[str, ...]
    holdout_subjects: tuple[str, ...]
    synthetic_subjects: tuple[str, ...]
    params: Mapping[str, Any]


@dataclass(kw_only=True)
class Comparison:
    """Everything a metric may ask for.

    Attributes:
        train: Real cases the generator learned from.
        holdout: Real cases it never saw; no subject in common with ``train``.
        synthetic: What it made.
        conditions: Requested masks; None for unconditional samples.
        preprocessing: How volumes are brought to one grid and range.
        workshop: Cache, seed, device and ledger.
        extractor_names: Extractors that this audit uses.
        generator: The generator itself where it is ours, for metrics that need its loss.
        options: Further settings by metric or part, from the configuration.
        folder: Run folder, for private intermediate files; None in a notebook.
        sampled_in: Folder whose ledger says what the samples cost, where `voxaudit sample` made
            them; None where this run made them itself.
    """

    train: Cohort
    holdout: Cohort
    synthetic: Cohort
    conditions: Cohort | None
    preprocessing: Preprocessing
    workshop: Workshop
    extractor_names: Sequence[str] = ("intensity", "ssl3d")
    generator: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    sampled_in: Path | None = None
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Samples may name the mask they followed by its pseudonym: it is resolved here."""
        if self.conditions is not None:
            self.synthetic = _resolved(self.synthetic, self.conditions)

    @property
    def is_cine(self) -> bool:
        """Whether volumes have more than one frame."""
        return self.preprocessing.shape[0] > 1

    def cohort(self, role: str) -> Cohort:
        """The cohort in one role.

        Raises:
            NotComputable: There is none.
        """
        found: Cohort | None = getattr(self, role)
        if found is None or len(found) == 0:
            raise NotComputable(f"no {role} cohort was given", "one", f"Give it with --{role}")
        return found

    def once(self, key: str, make: Callable[[], T]) -> T:
        """Make a value that several metrics share, once; a NotComputable is remembered too."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except NotComputable as error:
                self._made[key] = error
        made: T | NotComputable = self._made[key]
        if isinstance(made, NotComputable):
            raise made
        return made

    def encoder(self, extractor: str) -> Encoder:
        """The encoder of this name, fitted on train once."""
        fit = EXTRACTORS.load(extractor).fit
        return self.once(
            f"encoder:{extractor}", lambda: fit(self.train, self.preprocessing, self.workshop)
        )

    def features(self, extractor: str) -> Features:
        """Features of train, holdout and synthetic from one extractor.

        Raises:
            NotComputable: The extractor cannot be had; says what is missing.
        """
        return self.once(f"features:{extractor}", lambda: self._features(extractor))

    def labels(self) -> "Labels":
        """Label maps of train, holdout and synthetic, and the error of whatever made them."""
        from audit.segmenter import obtain_labels

        return self.once(
            "labels",
            lambda: obtain_labels(
                train=self.train,
                holdout=self.holdout,
                synthetic=self.synthetic,
                preprocessing=self.preprocessing,
                workshop=self.workshop,
                choice=self.options.get("segmenter", "auto"),
                steps=self.options.get("segmenter_steps"),
            ),
        )

    def known_labels(self) -> "Labels | None":
        """Label maps where they have been made; None where nothing has asked for them yet."""
        made = self._made.get("labels")
        return None if isinstance(made, NotComputable) else made

    def ledger_records(self) -> tuple[PhaseRecord, ...]:
        """Phases booked so far: of the sampling, where it came before, and of this run."""
        lines = self._sampling_lines()
        sampled = tuple(total.record(phase) for phase, total in fold(lines).items())
        return (*sampled, *self.workshop.ledger.records())

    def ledger_lines(self) -> list[Line]:
        """The same, increment by increment; empty in a notebook."""
        own = read_all(self.folder / "ledger.jsonl") if self.folder is not None else []
        return [*self._sampling_lines(), *own]

    def _sampling_lines(self) -> list[Line]:
        if self.sampled_in is None:
            return []
        lines = read_all(self.sampled_in / "ledger.jsonl")
        return [line for line in lines if line["phase"] in ("sampling", "decoding")]

    def _features(self, extractor: str) -> Features:
        with self.workshop.ledger.phase(f"audit.features.{extractor}"):
            encoder = self.encoder(extractor)
            rows = {
                role: embed_cohort(cohort, encoder, self.preprocessing, self.workshop.cache).astype(
                    np.float64
                )
                if len(cohort := self.cohort_or_empty(role))
                else np.zeros((0, 0))
                for role in ("train", "holdout", "synthetic")
            }
        return Features(
            extractor=extractor,
            **rows,
            train_subjects=self.train.subjects,
            holdout_subjects=self.holdout.subjects,
            synthetic_subjects=self.synthetic.subjects,
            params={"extractor": extractor, **encoder.params},
        )

    def cohort_or_empty(self, role: str) -> Cohort:
        """The cohort in one role, empty where it was not given."""
        found: Cohort | None = getattr(self, role)
        return found if found is not None else Cohort(role, [])  # type: ignore[arg-type]


def _resolved(synthetic: Cohort, conditions: Cohort) -> Cohort:
    """The samples with conditions by their id, where they were named by pseudonym."""
    named = {c for c in synthetic.conditions if c is not None} - set(conditions.ids)
    if not named:
        return synthetic
    known = {pseudonym(name): name for name in conditions.ids}
    return Cohort(
        synthetic.role,
        [
            replace(s, condition=known.get(s.condition or "", s.condition))
            for s in synthetic.sources
        ],
        notes=synthetic.notes,
    )
