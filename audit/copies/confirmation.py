"""Stage two: synthetic volumes are laid over the patients they resemble.

A copy shares with its source, after registration, what sets a patient apart from the others; what
a held-out volume shares with its nearest patients says how much is chance. Those correlations,
after Fisher's transformation, are close to normal, so that their prediction limit states the rate
of false confirmations also where few patients were held out. A copy also fits its source far better
than the next patient; a volume with little of its own fits several alike. The gap between two
normal values, best less next, is half of a normal one.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.comparison import Comparison
from audit.copies.anatomy import shared_anatomy, still
from audit.copies.candidates import candidates
from audit.copies.duplicates import patients_of
from audit.copies.search import Matches, extractor_of, search_matches
from audit.pseudonym import pseudonym

FloatArray = npt.NDArray[np.floating]
VERSION = 12  # of registration and what it is scored by; part of the cache's key
FALSE_RATE = 0.001  # of the fit
GAP_RATE = 0.01  # of the gap, asked for as well
MOST = 4000  # synthetic volumes that are registered, the most similar first
BLOCK = 64


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How volumes fit the best of their candidates, aligned.

    Attributes:
        ncc: Correlation (n,) beyond what patients share.
        ssim: Structural similarity (n,).
        gap: By how much the best candidate beats the next patient (n,), in Fisher's z.
        source: Training row (n,) of the best candidate.
    """

    ncc: FloatArray
    ssim: FloatArray
    gap: FloatArray
    source: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What registration says of each synthetic volume.

    Attributes:
        confirmed: Whether it is a copy (s,).
        rows: Synthetic volumes that were aligned: all, or the 4000 most similar.
        fit: Of ``rows``.
        null: Of one volume per held-out patient.
        limit: NCC above which a volume is confirmed, if its gap is large as well.
        false_rate: Share of held-out patients that the rule would confirm, each judged by the
            others; 0.001 is expected.
    """

    confirmed: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.intp]
    fit: Fit
    null: Fit
    limit: float
    false_rate: float


def confirm(comparison: Comparison) -> Confirmation:
    """Align candidates of one comparison, once; writes private/pairs.csv beside the run.

    Raises:
        NotComputable: As ``search_matches``.
    """
    return comparison.once("memorization:confirmation", lambda: _confirm(comparison))


def fit_candidates(
    volumes: list[npt.NDArray[np.float32]], rows: npt.NDArray[np.int64], comparison: Comparison
) -> Fit:
    """Align preprocessed volumes (c, t, z, y, x) with their candidates (n, k) in train.

    Each is tried as it is and, where that is known, after the generator's autoencoder. Candidates
    of the best one's patient, duplicates among them, do not count as the next best.
    """
    from audit.copies.registration import align, reduced
    from audit.extractors.ssl3d import extent_mm

    # the source is moved: what the copy's noise hides is not resampled as well
    fixed = np.stack([reduced(still(volume)) for volume in volumes])
    forms = {int(i): _forms(comparison, int(i)) for i in np.unique(rows)}
    moving = [form for row in rows.ravel() for form in forms[int(row)]]
    k = len(moving) // len(rows)
    rows = np.repeat(rows, k // rows.shape[1], axis=1)
    found = align(
        np.repeat(fixed, k, axis=0),
        np.stack(moving),
        shared_anatomy(comparison),
        extent_mm(comparison.preprocessing),
        device=comparison.workshop.device,
    )
    ncc, ssim = found.partial.reshape(-1, k), found.ssim.reshape(-1, k)
    best, line = ncc.argmax(axis=1), np.arange(len(rows))
    patients = patients_of(comparison)[rows]
    same = patients == patients[line, best][:, None]
    others = np.where(same, -np.inf, _fisher(ncc)).max(axis=1)
    top = ncc[line, best]
    return Fit(
        ncc=top,
        ssim=ssim[line, best],
        gap=_fisher(top) - np.where(np.isfinite(others), others, 0.0),
        source=rows[line, best],
    )


def _forms(comparison: Comparison, row: int) -> list[npt.NDArray[np.float32]]:
    """A training volume as it is and, where that is known, after the generator's autoencoder."""
    from audit.copies.registration import reduced

    volume = comparison.preprocessing(comparison.train[row].image)
    autoencode = comparison.workshop.autoencode
    found = [volume] if autoencode is None else [volume, autoencode(volume[None])[0]]
    return [reduced(still(form)) for form in found]


def confirmed_by(fit: Fit, null: Fit) -> npt.NDArray[np.bool_]:
    """Whether both NCC and gap exceed their limits."""
    ncc, gap = limits_of(null)
    return (fit.ncc > ncc) & (fit.gap > gap)


def limits_of(null: Fit) -> tuple[float, float]:
    """Upper prediction limits of one further NCC, at 0.001, and of its gap, at 0.01.

    Held-out volumes beyond the limits that the others set are copies themselves (a patient on both
    sides of the split) and do not raise them.
    """
    twins = _beyond_the_others(null)
    kept = ~twins if (~twins).sum() > 2 else np.ones(len(twins), bool)
    ncc = _limit(_fisher(null.ncc[kept]), FALSE_RATE)
    return float(np.tanh(ncc)), _gap_limit(null.gap[kept])


def _confirm(comparison: Comparison) -> Confirmation:
    found = search_matches(comparison)
    with comparison.workshop.ledger.phase("audit.copies.registration"):
        rows = np.sort(np.argsort(found.p_values, kind="stable")[:MOST])
        fit = _fit_synthetic(comparison, rows)
        null = _null(comparison, found)
        comparison.workshop.ledger.work(pairs=3 * len(rows))
    confirmed = np.zeros(len(found.p_values), bool)
    confirmed[rows] = confirmed_by(fit, null)
    result = Confirmation(
        confirmed=confirmed,
        rows=rows,
        fit=fit,
        null=null,
        limit=limits_of(null)[0],
        false_rate=float(_beyond_the_others(null).mean()),
    )
    if comparison.folder is not None:
        _write_pairs(comparison, found, result, comparison.folder / "private")
    return result


def _fit_synthetic(comparison: Comparison, rows: npt.NDArray[np.intp]) -> Fit:
    embedded = comparison.features(extractor_of(comparison)).synthetic
    parts = []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        volumes = [comparison.preprocessing(comparison.synthetic[int(r)].image) for r in block]
        parts.append(fit_candidates(volumes, candidates(comparison, embedded[block]), comparison))
    return _joined(parts)


def _null(comparison: Comparison, found: Matches) -> Fit:
    """Of held-out patients, through the generator's autoencoder where that is known.

    Kept in the cache, since samples do not change it.
    """
    autoencode = comparison.workshop.autoencode

    def make() -> dict[str, npt.NDArray[np.generic]]:
        rows, parts = found.holdout_rows, []
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            volumes = [
                comparison.preprocessing(comparison.holdout[int(r)].image) for r in rows[block]
            ]
            if autoencode is not None:
                volumes = [autoencode(volume[None])[0] for volume in volumes]
            near = candidates(comparison, found.holdout_embedded[block])
            parts.append(fit_candidates(volumes, near, comparison))
        return vars(_joined(parts))

    key = key_of(
        registration=VERSION,
        train=comparison.train.hash,
        holdout=comparison.holdout.hash,
        encoder=comparison.encoder(extractor_of(comparison)).key,
        autoencoder=comparison.workshop.autoencoder_key,
        preprocessing=comparison.preprocessing.as_params(),
        device=comparison.workshop.device,
    )
    return Fit(**comparison.workshop.cache.arrays(key, make))


def _joined(parts: list[Fit]) -> Fit:
    names = ("ncc", "ssim", "gap", "source")
    return Fit(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def _fisher(ncc: FloatArray) -> FloatArray:
    return np.arctanh(np.clip(ncc, -0.999, 0.999))


def _limit(values: FloatArray, rate: float) -> float:
    """Of one further normal value beside these; Student, n - 1 degrees."""
    from scipy.stats import t

    n = len(values)
    width = t.ppf(1 - rate, n - 1) * np.sqrt(1 + 1 / n)
    return float(values.mean() + width * values.std(ddof=1))


def _gap_limit(gaps: FloatArray) -> float:
    """Of one further gap beside these: half-normal, that is Student's of both sides, about 0."""
    from scipy.stats import t

    n = len(gaps)
    return float(t.ppf(1 - GAP_RATE / 2, n) * np.sqrt((gaps**2).mean()))


def _beyond_the_others(null: Fit) -> npt.NDArray[np.bool_]:
    """The rule applied to each held-out patient with the others as null."""
    fits, gaps = _fisher(null.ncc), null.gap
    found = [
        fits[i] > _limit(np.delete(fits, i), FALSE_RATE)
        and gaps[i] > _gap_limit(np.delete(gaps, i))
        for i in range(len(fits))
    ]
    return np.array(found, bool)


def _write_pairs(
    comparison: Comparison, found: Matches, result: Confirmation, folder: Path
) -> None:
    """The pairs link samples to patients: for the owner of the data only, ids as pseudonyms.

    Volumes that are suspicious to the encoder or confirmed; of the others nothing is to be said.
    """
    import pandas as pd

    from audit.result import write_text

    train, rows, fit = comparison.train.ids, result.rows, result.fit
    table = pd.DataFrame(
        {
            "synthetic": [comparison.synthetic.ids[int(r)] for r in rows],
            "train": [pseudonym(train[int(i)]) for i in fit.source],
            "similarity": found.synthetic[rows, 0],
            "p_value": found.p_values[rows],
            "ncc": fit.ncc,
            "ssim": fit.ssim,
            "gap": fit.gap,
            "confirmed": result.confirmed[rows].astype(int),
        }
    )
    table = table[found.suspicious[rows] | result.confirmed[rows]]
    write_text(folder / "pairs.csv", table.to_csv(index=False, lineterminator="\n"))
    folder.chmod(0o700)
    (folder / "pairs.csv").chmod(0o600)
