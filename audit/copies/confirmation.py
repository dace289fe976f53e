"""Stage two: suspicious synthetic volumes are aligned with the patients they resemble.

A copy shares with its source, after rigid registration, what sets a patient apart from
the others; no held-out volume shares that with anyone as much.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.cohort import Cohort
from audit.comparison import Comparison
from audit.copies.search import ALPHA, Matches, find_matches
from audit.pseudonym import pseudonym

FloatArray = npt.NDArray[np.floating]
VERSION = 1  # of registration and what it is scored by; part of the cache's key
QUANTILE = 0.99
MODES = 4
LOOK_AT = 64


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """What registration says of each synthetic volume.

    Attributes:
        confirmed: Whether it is a copy (s,).
        rows: Synthetic volumes that were aligned: those with p <= 0.05.
        ncc: Correlation of each of ``rows`` with its best candidate, aligned and beyond what
            patients share.
        ssim: Structural similarity at that position.
        gap: By how much the best candidate beats the next.
        source: Training row of the best candidate.
        null_ncc: The same of one volume per held-out patient.
        null_gap: The same.
        false_rate: Share of held-out patients that the same rule would confirm, each judged by
            the others.
    """

    confirmed: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.intp]
    ncc: FloatArray
    ssim: FloatArray
    gap: FloatArray
    source: npt.NDArray[np.int64]
    null_ncc: FloatArray
    null_gap: FloatArray
    false_rate: float


def confirm(comparison: Comparison) -> Confirmation:
    """Align candidates of one comparison, once; writes private/pairs.csv beside the run.

    Raises:
        NotComputable: As ``find_matches``.
    """
    return comparison.once("memorization:confirmation", lambda: _confirm(comparison))


def best_of_candidates(
    cases: Cohort,
    rows: npt.NDArray[np.intp],
    candidates: npt.NDArray[np.int64],
    comparison: Comparison,
) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Aligned NCC, SSIM and gap (n,) of cases with their best of k candidates (n, k), and which.

    Candidates of the best one's patient do not count as the next best.
    """
    from audit.copies.registration import align
    from audit.extractors.ssl3d import extent_mm

    preprocessing, device = comparison.preprocessing, comparison.workshop.device
    train, k = comparison.train, candidates.shape[1]
    if len(rows) == 0:
        empty = np.zeros(0)
        return empty, empty, empty, np.zeros(0, np.int64)
    # the source is moved: what the copy's noise hides is not resampled as well
    fixed = np.stack([still(preprocessing(cases[int(r)].image)) for r in rows])
    sources = {int(i): still(preprocessing(train[int(i)].image)) for i in np.unique(candidates)}
    moving = np.stack([sources[int(i)] for i in candidates.ravel()])
    found = align(
        np.repeat(fixed, k, axis=0),
        moving,
        shared_anatomy(comparison),
        extent_mm(preprocessing),
        device=device,
    )
    ncc, ssim = found.partial.reshape(-1, k), found.ssim.reshape(-1, k)
    best = ncc.argmax(axis=1)
    line = np.arange(len(rows))
    subjects = np.asarray(train.subjects)[candidates]
    others = np.where(subjects == subjects[line, best][:, None], -np.inf, ncc)
    rest = others.max(axis=1)
    gap = np.where(np.isfinite(rest), ncc[line, best] - rest, 0.0)
    return ncc[line, best], ssim[line, best], gap, candidates[line, best]


def shared_anatomy(comparison: Comparison) -> npt.NDArray[np.float32]:
    """What training patients share (p, c', z, y, x): the mean of ``still`` and its leading modes.

    Two strangers of one build correlate highly after the mean alone; a copy still does after these.
    """
    return comparison.once("memorization:shared", lambda: _shared(comparison))


def _shared(comparison: Comparison) -> npt.NDArray[np.float32]:
    train = comparison.train
    picks = np.unique(np.linspace(0, len(train) - 1, min(LOOK_AT, len(train))).astype(int))
    volumes = np.stack([still(comparison.preprocessing(train[int(i)].image)) for i in picks])
    mean = volumes.mean(axis=0)
    flat = (volumes - mean).reshape(len(volumes), -1)
    _, _, modes = np.linalg.svd(flat, full_matrices=False)
    kept = modes[: min(MODES, len(volumes) // 6)].reshape(-1, *mean.shape)
    return np.concatenate([mean[None], kept]).astype(np.float32)


def still(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """One 3D image (c', z, y, x) of a volume (c, t, z, y, x): a cine gives its mean and spread.

    Neither changes when the cine is shifted in time or reversed.
    """
    if volume.shape[1] == 1:
        return volume[:, 0]
    return np.concatenate([volume.mean(axis=1), volume.std(axis=1)])


def confirmed_by(
    ncc: FloatArray, gap: FloatArray, null_ncc: FloatArray, null_gap: FloatArray
) -> npt.NDArray[np.bool_]:
    """Whether NCC or gap exceeds the 99 % quantile of the null pairs."""
    ncc_cut = np.quantile(null_ncc, QUANTILE, method="higher")
    gap_cut = np.quantile(null_gap, QUANTILE, method="higher")
    return (ncc > ncc_cut) | (gap > gap_cut)


def _confirm(comparison: Comparison) -> Confirmation:
    found = find_matches(comparison)
    with comparison.workshop.ledger.phase("audit.copies.registration"):
        rows = np.flatnonzero(found.suspicious)
        ncc, ssim, gap, source = best_of_candidates(
            comparison.synthetic, rows, found.synthetic_index[rows], comparison
        )
        null_ncc, null_gap = _null(comparison, found)
        comparison.workshop.ledger.work(pairs=found.synthetic_index.shape[1] * len(rows))
    confirmed = np.zeros(len(found.p_values), bool)
    confirmed[rows] = confirmed_by(ncc, gap, null_ncc, null_gap)
    result = Confirmation(
        confirmed=confirmed,
        rows=rows,
        ncc=ncc,
        ssim=ssim,
        gap=gap,
        source=source,
        null_ncc=null_ncc,
        null_gap=null_gap,
        false_rate=_false_rate(found, null_ncc, null_gap),
    )
    if comparison.folder is not None:
        _write_pairs(comparison, found, result, comparison.folder / "private")
    return result


def _null(comparison: Comparison, found: Matches) -> tuple[FloatArray, FloatArray]:
    """NCC and gap of held-out patients; kept in the cache, since samples do not change them."""

    def make() -> dict[str, FloatArray]:
        ncc, _, gap, _ = best_of_candidates(
            comparison.holdout, found.holdout_rows, found.holdout_index, comparison
        )
        return {"ncc": ncc, "gap": gap}

    key = key_of(
        registration=VERSION,
        train=comparison.train.hash,
        holdout=comparison.holdout.hash,
        pairs=[found.holdout_rows.tolist(), found.holdout_index.tolist()],
        preprocessing=comparison.preprocessing.as_params(),
        device=comparison.workshop.device,
    )
    stored = comparison.workshop.cache.arrays(key, make)
    return stored["ncc"], stored["gap"]


def _false_rate(found: Matches, null_ncc: FloatArray, null_gap: FloatArray) -> float:
    """The rule applied to each held-out patient with the others as null."""
    n = len(found.holdout)
    hits = 0
    for i in range(n):
        rest = np.arange(n) != i
        p_value = (1 + int((found.holdout[rest] >= found.holdout[i]).sum())) / n
        fits = confirmed_by(null_ncc[[i]], null_gap[[i]], null_ncc[rest], null_gap[rest])
        hits += int(p_value <= ALPHA and bool(fits[0]))
    return hits / n


def _write_pairs(
    comparison: Comparison, found: Matches, result: Confirmation, folder: Path
) -> None:
    """The pairs link samples to patients: for the owner of the data only, ids as pseudonyms."""
    import pandas as pd

    from audit.result import write_text

    train = comparison.train.ids
    table = pd.DataFrame(
        {
            "synthetic": [comparison.synthetic.ids[int(r)] for r in result.rows],
            "train": [pseudonym(train[int(i)]) for i in result.source],
            "similarity": found.synthetic[result.rows, 0],
            "p_value": found.p_values[result.rows],
            "ncc": result.ncc,
            "ssim": result.ssim,
            "gap": result.gap,
            "confirmed": result.confirmed[result.rows].astype(int),
        }
    )
    write_text(folder / "pairs.csv", table.to_csv(index=False, lineterminator="\n"))
    folder.chmod(0o700)
    (folder / "pairs.csv").chmod(0o600)
