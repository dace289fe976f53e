"""Measure every metric and record what came out: the only orchestrator of metrics.

Each metric's findings are written as soon as they exist. Calling again with the same inputs reads
what is there and computes the rest.
"""

import json
import traceback
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audit import run_folder
from audit.cache import Cache, default_cache, key_of
from audit.cohort import Cohort, Role, read_cohort, refuse_shared_subjects, refuse_unusable
from audit.comparison import Comparison
from audit.errors import BadInput, NotComputable, RunBroken
from audit.extractor import EXTRACTORS, Workshop
from audit.ledger import Ledger
from audit.metric import METRICS, Measurement, Metric, Outcome, missing_needs
from audit.multiplicity import with_adjusted_p_values
from audit.networks.autoencoder_views import autoencoder_of
from audit.preprocessing import fit_preprocessing
from audit.progress import say
from audit.provenance import describe_cohort, provenance_of
from audit.result import AuditResult, Finding, load_result, write_result

if TYPE_CHECKING:
    import pandas as pd

CohortLike = Cohort | str | Path


def score(
    *,
    train: CohortLike,
    holdout: CohortLike,
    synthetic: CohortLike,
    conditions: CohortLike | None = None,
    only: Sequence[str] = (),
    seed: int = 0,
    out: str | Path | None = None,
    name: str = "",
    **settings: Any,
) -> AuditResult:
    """Audit a synthetic cohort against the real one it should resemble and not copy.

    Args:
        train: Real cases the generator learned from: a Cohort, a folder or a manifest.
        holdout: Real cases it never saw, of other subjects.
        synthetic: What it made.
        conditions: Masks that the synthetic cases were asked to follow.
        only: Globs of metrics to run; empty runs every default metric.
        seed: Seed of everything random.
        out: Run folder; None keeps the result in memory.
        name: What is audited, for the report.
        **settings: Further arguments of ``build_comparison``.

    Raises:
        BadInput: A cohort cannot be read, or train and holdout share subjects.
        RunBroken: A metric failed; the others' findings are kept.
    """
    folder = Path(out) if out is not None else None
    if folder is not None:
        run_folder.prepare(folder)
    comparison = build_comparison(
        train=train,
        holdout=holdout,
        synthetic=synthetic,
        conditions=conditions,
        seed=seed,
        folder=folder,
        **settings,
    )
    names = _metric_names(only)
    result = AuditResult(
        name=name,
        provenance=provenance_of(comparison),
        cohorts={
            role: describe_cohort(cohort)
            for role in ("train", "holdout", "synthetic", "conditions")
            if len(cohort := comparison.cohort_or_empty(role))
        },
    )
    return _measure_all(names, comparison, result, folder)


def build_comparison(
    *,
    train: CohortLike,
    holdout: CohortLike,
    synthetic: CohortLike,
    conditions: CohortLike | None = None,
    seed: int = 0,
    folder: Path | None = None,
    extractors: Sequence[str] | None = None,
    weights: Mapping[str, Path] | None = None,
    options: Mapping[str, Any] | None = None,
    generator: Any = None,
    ledger: Ledger | None = None,
    cache: Cache | None = None,
    device: str | None = None,
    skip_unusable: bool = False,
    labels: Mapping[str, int] | None = None,
) -> Comparison:
    """Open the cohorts and gather what metrics need.

    Args:
        train: As in ``score``.
        holdout: As in ``score``.
        synthetic: As in ``score``.
        conditions: As in ``score``.
        seed: Seed of everything random.
        folder: Run folder for private intermediate files.
        extractors: Feature networks to use; None takes the defaults.
        weights: Local weight files by extractor name.
        options: Settings by part: ``segmenter``, ``encoder_seeds``, ``real_images_public``, ...;
            ``autoencoder_views`` (off) shows the copy encoder the generator's autoencoder.
        generator: The generator itself, for metrics that need its loss.
        ledger: Where time and energy are booked; None makes a meterless one.
        cache: Store of features and weights; None takes the user's.
        device: ``cpu`` or ``cuda``; None takes the GPU where there is one.
        skip_unusable: Leave out files that cannot be used, and say so in the result.
        labels: Code of each structure, where the cohorts do not name them.

    Raises:
        BadInput: A cohort cannot be read, is empty, or shares subjects with another.
    """
    real = open_cohort(train, "train", skip_unusable=skip_unusable, labels=labels)
    unseen = open_cohort(holdout, "holdout", skip_unusable=skip_unusable, labels=labels)
    made = open_cohort(synthetic, "synthetic", skip_unusable=skip_unusable, labels=labels)
    for cohort in (real, made):
        if len(cohort) == 0:
            raise BadInput(f"cohort '{cohort.role}' is empty", "at least one volume")
    refuse_shared_subjects(real, unseen)
    asked = (
        open_cohort(conditions, "conditions", skip_unusable=skip_unusable, labels=labels)
        if conditions is not None
        else None
    )
    names = tuple(extractors) if extractors else default_extractors()
    for extractor in names:
        EXTRACTORS.match((extractor,))
    preprocessing = fit_preprocessing(real)
    autoencode, autoencoder_key = None, ""
    if (options or {}).get("autoencoder_views") is True:
        autoencode, autoencoder_key = autoencoder_of(generator, preprocessing)
    return Comparison(
        train=real,
        holdout=unseen,
        synthetic=made,
        conditions=asked,
        preprocessing=preprocessing,
        workshop=Workshop(
            cache=cache or default_cache(),
            seed=seed,
            device=device or _device(),
            ledger=ledger or Ledger(),
            weights=dict(weights or {}),
            autoencode=autoencode,
            autoencoder_key=autoencoder_key,
        ),
        extractor_names=names,
        generator=generator,
        options=dict(options or {}),
        folder=folder,
    )


def open_cohort(
    given: CohortLike,
    role: Role,
    *,
    skip_unusable: bool = False,
    labels: Mapping[str, int] | None = None,
) -> Cohort:
    """A cohort as it is, or read from a folder or manifest.

    Args:
        given: A cohort, or where it lies.
        role: What it is for.
        skip_unusable: Leave out files that cannot be used, and say so in the notes.
        labels: Code of each structure, where the place does not name them.

    Raises:
        BadInput: It cannot be read, or one of its files cannot be used.
    """
    if isinstance(given, Cohort):
        return given if given.role == role else Cohort(role, given.sources, notes=given.notes)
    cohort = read_cohort(Path(given), role=role, skip_unusable=skip_unusable, labels=labels)
    if not skip_unusable:
        refuse_unusable(cohort)  # now, not an hour into the audit
    return cohort


def default_extractors() -> tuple[str, ...]:
    """Names of the extractors that every audit uses."""
    return tuple(n for n in EXTRACTORS.names() if EXTRACTORS.load(n).default)


def measure(name: str, comparison: Comparison) -> tuple[list[Finding], "pd.DataFrame | None"]:
    """Run one metric.

    Returns:
        Its findings, one a variant, and its per-case values or None.
    """
    metric: Metric = METRICS.load(name)
    rng = np.random.default_rng([comparison.workshop.seed, zlib.crc32(name.encode())])
    missing = missing_needs(metric, comparison)
    outcome: Outcome | Mapping[str, Outcome]
    if missing:
        outcome = NotComputable(missing)
    else:
        try:
            with comparison.workshop.ledger.phase(f"audit.{name.split('.')[0]}"):
                outcome = metric.compute(comparison, rng)
        except NotComputable as error:
            outcome = error
    variants = outcome if isinstance(outcome, Mapping) else {"": outcome}
    findings = [
        _finding(f"{name}[{variant}]" if variant else name, metric, one, comparison)
        for variant, one in variants.items()
    ]
    return findings, _case_values(variants.values())


def _finding(label: str, metric: Metric, outcome: Outcome, comparison: Comparison) -> Finding:
    shared: dict[str, Any] = {"metric": label, "unit": metric.unit, "better": metric.better}
    if isinstance(outcome, NotComputable):
        return Finding(**shared, status="not_computable", reason=outcome.reason)
    estimate = outcome.estimate
    return Finding(
        **shared,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=estimate.level,
        n=estimate.n,
        method=estimate.method,
        reference={k: _plain(v) for k, v in outcome.reference.items()},
        p_value=_plain(outcome.p_value),
        params=_plain({**outcome.params, "version": metric.version}),
        series={k: _plain(list(v)) for k, v in outcome.series.items()},
        comparability=key_of(
            metric=label,
            version=metric.version,
            params=_comparable(outcome.params),
            preprocessing=comparison.preprocessing.as_params(),
            n=[len(comparison.holdout), len(comparison.synthetic)],
            **_profile(comparison),
            holdout=comparison.holdout.hash,
            conditions=comparison.conditions.hash if comparison.conditions else None,
        )[:16],
    )


def _profile(comparison: Comparison) -> dict[str, Any]:
    """The profile of the configuration, where one was applied."""
    profile = comparison.options.get("profile")
    return {"profile": profile} if profile else {}


def _comparable(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that define a number; what merely describes this run's fit is left out."""
    return {k: v for k, v in params.items() if k in _DEFINING}


_DEFINING = {
    "extractor",
    "weights_sha256",
    "kernel",
    "k",
    "tolerance_mm",
    "definition",
    "segmenter",
    "components",
    "host",
    "voxels",
}


def _measure_all(
    names: Sequence[str], comparison: Comparison, result: AuditResult, folder: Path | None
) -> AuditResult:
    inputs = _inputs_key(comparison)
    findings: list[Finding] = []
    tables: list[pd.DataFrame] = []
    broken: list[str] = []
    for position, name in enumerate(names, start=1):
        say(f"[{position}/{len(names)}] {name}")
        key = key_of(metric=name, inputs=inputs, version=METRICS.load(name).version)
        stored = run_folder.read_part(folder, name, key)
        if stored is None:
            try:
                stored = measure(name, comparison)
            except BadInput:
                raise
            except Exception as error:  # noqa: BLE001 - one metric's bug must not lose the others
                broken.append(name)
                run_folder.write_failure(folder, name, traceback.format_exc())
                stored = ([_failed(name, error)], None)
            else:
                stored = ([f.model_copy(update={"inputs_key": key}) for f in stored[0]], stored[1])
                if "ledger" not in METRICS.load(name).needs:
                    run_folder.write_part(folder, name, key, *stored)
        findings.extend(stored[0])
        tables.extend([stored[1]] if stored[1] is not None else [])
        result = result.model_copy(update={"findings": tuple(findings)})
        if folder is not None:
            write_result(result, folder)
    result = result.model_copy(
        update={
            "status": "failed" if broken else "ok",
            "findings": with_adjusted_p_values(findings),
            "ledger": comparison.ledger_records(),
        }
    )
    if folder is not None:
        run_folder.write_cases(folder, tables, comparison)
        run_folder.write_exemplars(folder, comparison)
        write_result(result, folder)
    if broken:
        raise RunBroken(
            f"{len(broken)} metrics failed ({', '.join(broken)})",
            "none",
            "The other findings are kept; see errors/ in the run folder",
        )
    return result


def _failed(name: str, error: Exception) -> Finding:
    return Finding(
        metric=name,
        status="not_computable",
        reason=f"failed with {type(error).__name__}; the traceback is in errors/{name}.txt.",
    )


def _metric_names(only: Sequence[str]) -> list[str]:
    """Metrics to run; those that read the ledger come last."""
    names = (
        METRICS.match(tuple(only))
        if only
        else [n for n in METRICS.names() if METRICS.load(n).default]
    )
    return sorted(names, key=lambda n: ("ledger" in METRICS.load(n).needs, n))


def _inputs_key(comparison: Comparison) -> str:
    from audit.provenance import package_versions

    return key_of(
        train=comparison.train.hash,
        holdout=comparison.holdout.hash,
        synthetic=comparison.synthetic.hash,
        conditions=comparison.conditions.hash if comparison.conditions else None,
        preprocessing=comparison.preprocessing.as_params(),
        seed=comparison.workshop.seed,
        extractors=list(comparison.extractor_names),
        weights=sorted(map(str, comparison.workshop.weights.items())),
        options=comparison.options,
        generator=_identity(comparison.generator),
        versions=package_versions(),
    )


def _identity(generator: Any) -> str:
    """What decides a generator's samples, where it says so."""
    described = getattr(generator, "identity", None)
    return str(described()) if described is not None else type(generator).__name__


def _case_values(outcomes: Any) -> "pd.DataFrame | None":
    tables = [o.cases for o in outcomes if isinstance(o, Measurement) and o.cases is not None]
    return run_folder.join_cases(tables) if tables else None


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _plain(value: Any) -> Any:
    """Numpy values as plain Python, so that they can be written as JSON."""
    return json.loads(json.dumps(value, default=_numpy_to_plain))


def _numpy_to_plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple | set | frozenset) else str(value)


def earlier_result(folder: Path) -> AuditResult | None:
    """The result already in a folder, or None."""
    return load_result(folder) if (folder / "result.json").is_file() else None
