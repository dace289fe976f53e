"""Folder: somebody else's synthetic volumes, taken as they are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from audit.cohort import Case, Cohort, read_cohort
from audit.errors import BadInput
from audit.pseudonym import pseudonym
from generators.stored import CASES, given, replayed, save_cases


class Folder:
    """A generator whose samples lie in a folder; the seed decides their order.

    Attributes:
        source: The volumes.
    """

    family = "folder"

    def __init__(self, source: str | Path | Cohort | None = None) -> None:
        self.source: Cohort | None = None
        if source is not None:
            known = isinstance(source, Cohort)
            self.source = source if known else read_cohort(source, role="synthetic")  # type: ignore[arg-type,assignment]

    def fit(self, cohort: Cohort, *, folder: Path | None = None, **_options: Any) -> None:
        """Take over a cohort of synthetic volumes, unless the constructor was given one."""
        self.source = self.source or cohort
        if folder is not None:
            self.save(folder)

    def sample(
        self,
        n: int,
        *,
        seed: int,
        conditions: Cohort | None = None,
        indices: Sequence[int] | None = None,
        **_options: Any,
    ) -> Iterator[Case]:
        """Yield cases of the folder, none twice; with conditions, those made for each of them."""
        source = self._source
        if n > len(source):
            raise BadInput(
                f"{n} volumes were asked of a folder of {len(source)}", f"at most {len(source)}"
            )
        chosen = range(n) if indices is None else indices
        if conditions is None:
            return (source[replayed(index, len(source), seed)] for index in chosen)
        return self._followers(chosen, seed, conditions)

    def _followers(self, chosen: Sequence[int], seed: int, conditions: Cohort) -> Iterator[Case]:
        source = self._source
        order = [replayed(index, len(source), seed) for index in range(len(source))]
        for index in chosen:
            turn, place = divmod(index, len(conditions))
            wanted = {conditions.ids[place], pseudonym(conditions.ids[place])}
            made = [i for i in order if source.conditions[i] in wanted]
            if turn >= len(made):
                raise BadInput(
                    f"the folder has {len(made)} volumes for condition {place}",
                    f"at least {turn + 1}",
                    "Name the condition of each volume in cohort.csv",
                )
            yield source[made[turn]]

    def identity(self) -> str:
        """What decides the samples beside the seed."""
        return f"{self.family} {self._source.hash}"

    def save(self, folder: Path) -> None:
        """Copy the volumes and name the family."""
        save_cases(self._source, folder, self.family)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        return cls(Path(folder) / CASES)

    @property
    def _source(self) -> Cohort:
        return given(self.source, "a folder of volumes", "Folder(path)")


MODEL = Folder
