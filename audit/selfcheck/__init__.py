"""The audit audited: every metric against every planted failure, at rising strength.

A metric is trusted because it is seen to answer. Honest cohorts of a phantom population (or of
real patches) are spoiled by one known failure at a time; a row says from which strength on a
metric sees it, whether it rises with strength, and whether it stays silent where nothing is wrong.

What every metric finds on every spoiled cohort is kept in the cache as it is measured, under a key
with the code and the installed packages: a run that was stopped goes on where it was, and a changed
audit starts anew.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from audit.cache import Cache, default_cache, key_of
from audit.cohort import Cohort, cohort_of
from audit.comparison import Comparison
from audit.errors import BadInput
from audit.metric import METRICS
from audit.progress import track
from audit.result import Finding, write_text
from audit.scoring import build_comparison, measure
from audit.selfcheck.document import document, table
from audit.selfcheck.populations import (
    PHANTOMS,
    Cohorts,
    middles,
    patches,
    phantoms,
    scan_for_patches,
)
from audit.selfcheck.rows import Row, controlled, missed, row_of

__all__ = ["Row", "controlled", "document", "missed", "scan_for_patches", "selfcheck", "table"]

STRENGTHS = (0.25, 0.5, 1.0)
# Memorization and utility train networks on each spoiled cohort: the nightly laws check those.
QUESTIONS = ("fidelity.*", "diversity.*", "adherence.*", "anatomy.*", "cardiac.*")
# They bring volumes to 2 mm, where a whole phantom takes minutes, and see texture wherever it is.
OF_MIDDLES = ("fidelity.frechet_radiomics_distance",)
SUBJECTS = 24
# `motion` has no value without frames, and the last needs the extra ``networks``.
ASKED_EXTRACTORS = ("intensity", "ssl3d", "motion", "efficientnet_lite0")


@dataclass(frozen=True, kw_only=True)
class _Stage:
    """One population, ready to be spoiled.

    Attributes:
        population: Its name.
        honest: The comparison in which nothing is wrong.
        middle: Makes the same of the middle of each volume, once.
        identity: What decides its findings beside metric, failure and strength.
        store: Where findings are kept.
    """

    population: str
    honest: Comparison
    middle: Callable[[], Comparison]
    identity: str
    store: Cache
    base: dict[str, dict[str, Finding]] = field(default_factory=dict)


def selfcheck(
    *,
    only: Sequence[str] = QUESTIONS,
    populations: Sequence[str] = PHANTOMS,
    failures: Sequence[str] | None = None,
    strengths: Sequence[float] = STRENGTHS,
    full: bool = True,
    subjects: int = SUBJECTS,
    seed: int = 0,
    patches_of: Path | None = None,
    **settings: Any,
) -> list[Row]:
    """Plant every failure in every population and ask every metric.

    Args:
        only: Globs of metrics.
        populations: Of the phantoms.
        failures: Of ``audit.phantoms.FAILURES``; all where not given.
        strengths: In (0, 1], rising.
        full: Ask every metric about every failure; else only about those it declares.
        subjects: A cohort.
        seed: Of populations and failures.
        patches_of: A real volume whose patches serve as one more population.
        **settings: Of ``build_comparison``, such as ``extractors`` and ``cache``.

    Returns:
        Rows whose ``seen`` is held to a false discovery rate (``controlled``).

    Raises:
        BadInput: No such metric, population or failure, or nothing to ask.
    """
    from audit.phantoms import FAILURES

    names = METRICS.match(tuple(only))
    planted = failures or FAILURES
    where = [*populations, *(["patches"] if patches_of else [])]
    if not where or not any(_asked(names, failure, full=full) for failure in planted):
        raise BadInput(
            f"nothing to ask {len(names)} metrics of {', '.join(planted)} "
            f"in {len(where)} populations",
            "a population, and a failure that one of them declares",
            "voxaudit selfcheck --full",
        )
    stages = [
        _stage(name, phantoms(name, subjects, seed), seed, subjects, settings)
        for name in populations
    ]
    if patches_of is not None:
        stages.append(_stage("patches", patches(patches_of, seed), seed, 0, settings))
    tasks = [
        (stage, failure, _asked(names, failure, full=full))
        for stage in stages
        for failure in planted
    ]
    tasks = [task for task in tasks if task[2]]
    rows: list[Row] = []
    for stage, failure, mine in track(tasks, "self-check"):
        rows += _ask(stage, failure, tuple(strengths), mine, seed)
    return controlled(rows)


def _asked(names: Sequence[str], failure: str, *, full: bool) -> list[str]:
    """Metrics that are asked about a failure."""
    return [n for n in names if full or failure in METRICS.load(n).detects]


def _ask(
    stage: _Stage, failure: str, strengths: tuple[float, ...], names: Sequence[str], seed: int
) -> list[Row]:
    """Rows of one failure; none where the population cannot have it."""
    try:
        asked = [_answers(stage, failure, strength, names, seed) for strength in strengths]
    except _Impossible:
        return []
    honest = [found for name in names for found in _base(stage, name).values()]
    return [
        row_of(stage.population, failure, strengths, finding, asked)
        for finding in honest
        if finding.status == "ok"
    ]


class _Impossible(Exception):
    """The population cannot have this failure."""


def _answers(
    stage: _Stage, failure: str, strength: float, names: Sequence[str], seed: int
) -> dict[str, Finding]:
    """All findings by name on one spoiled cohort, which is drawn only if one is not kept."""

    @cache
    def spoiled() -> Cohort:
        return _spoiled(stage.honest, failure, strength, seed)

    @cache
    def comparison(*, of_middles: bool) -> Comparison:
        if of_middles:
            return _with(stage.middle(), middles(spoiled()))
        return _with(stage.honest, spoiled())

    answers: dict[str, Finding] = {}
    for name in names:
        key = key_of(stage=stage.identity, metric=name, failure=failure, strength=strength)
        kept = _kept(stage.store, key)
        if kept is None:
            found = measure(name, comparison(of_middles=name in OF_MIDDLES))[0]
            kept = _keep(stage.store, key, found)
        answers |= {f.metric: f for f in kept}
    return answers


def _spoiled(honest: Comparison, failure: str, strength: float, seed: int) -> Cohort:
    """The spoiled cohort; what requests ask for stays."""
    from audit.phantoms import spoil

    try:
        made = list(spoil(honest.synthetic, failure, strength, seed=seed, train=honest.train))
    except BadInput as error:
        raise _Impossible from error
    return cohort_of("synthetic", made)


def _with(honest: Comparison, synthetic: Cohort) -> Comparison:
    """The comparison with another cohort; encoders are of train and stay."""
    encoders = {k: v for k, v in honest._made.items() if k.startswith("encoder:")}
    return replace(honest, synthetic=synthetic, _made=encoders)


def _base(stage: _Stage, name: str) -> dict[str, Finding]:
    """Findings by name where nothing is wrong."""
    if name not in stage.base:
        key = key_of(stage=stage.identity, metric=name, failure="", strength=0.0)
        kept = _kept(stage.store, key)
        if kept is None:
            honest = stage.middle() if name in OF_MIDDLES else stage.honest
            kept = _keep(stage.store, key, measure(name, honest)[0])
        stage.base[name] = {f.metric: f for f in kept}
    return stage.base[name]


def _stage(
    population: str, drawn: Cohorts, seed: int, subjects: int, settings: dict[str, Any]
) -> _Stage:
    honest = build_comparison(
        train=drawn["train"],
        holdout=drawn["holdout"],
        synthetic=drawn["synthetic"],
        conditions=drawn.get("conditions"),
        seed=seed,
        **settings,
    )

    @cache
    def middle() -> Comparison:
        return build_comparison(
            train=middles(drawn["train"]),
            holdout=middles(drawn["holdout"]),
            synthetic=middles(drawn["synthetic"]),
            seed=seed,
            **settings,
        )

    identity = key_of(
        code=_code_hash(),
        packages=_packages(),
        population=population,
        subjects=subjects,
        seed=seed,
        synthetic=honest.synthetic.hash,
        train=honest.train.hash,
        extractors=list(honest.extractor_names),
        weights=sorted(map(str, honest.workshop.weights.items())),
        options=honest.options,
        device=honest.workshop.device,
    )
    store = settings.get("cache") or default_cache()
    return _Stage(
        population=population, honest=honest, middle=middle, identity=identity, store=store
    )


@cache
def _code_hash() -> str:
    """Hash of the audit package's source, as it lies on disk when the run begins."""
    digest = hashlib.sha256()
    for file in _sources():
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _packages() -> list[str]:
    """What is installed: an extra that was missing, or another numpy, gives other findings."""
    return sorted(f"{d.name}=={d.version}" for d in metadata.distributions())


def _sources() -> Iterator[Path]:
    yield from sorted(Path(__file__).parents[1].rglob("*.py"))


def _kept(store: Cache, key: str) -> list[Finding] | None:
    file = store.path(key, ".findings.json")
    if not file.is_file():
        return None
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return [Finding.model_validate(f) for f in stored]
    except ValueError:
        return None


def _keep(store: Cache, key: str, findings: Sequence[Finding]) -> list[Finding]:
    """Write findings without the data of figures, which a table does not need."""
    plain = [f.model_copy(update={"series": {}}) for f in findings]
    text = json.dumps([f.model_dump() for f in plain])
    write_text(store.path(key, ".findings.json"), text)
    return plain
