"""Who resembles a training patient: the searches that the memorization metrics share.

Held-out and synthetic volumes are looked up in the same database (train) in the same direction, so
that their similarities can be compared; a held-out volume is known not to be a copy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.cohort import Cohort
from audit.comparison import Comparison, Features
from audit.errors import NotComputable
from audit.estimate import Estimate
from audit.extractor import Autoencode
from audit.neighbors import pearson_rows, search_params, top_k, top_k_of_others
from audit.neighbors.embedding_store import store_embeddings
from audit.pseudonym import pseudonym
from audit.statistics.conformal import conformal_p_values
from audit.statistics.two_sample import benjamini_hochberg

FloatArray = npt.NDArray[np.floating]
COPY_ENCODERS = ("ssl3d", "dar2024")
ALPHA = 0.05
FALSE_DISCOVERIES = 0.1
LEAST_AUC = 0.95
VIEWS = 4
NEIGHBORS = 2


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Nearest training volumes by Pearson correlation of embeddings.

    Attributes:
        synthetic: Similarity (s, k) of each synthetic volume to its k nearest training volumes.
        synthetic_index: Which they are.
        holdout: Similarity (h,) of one volume per held-out patient to its nearest training volume.
        holdout_index: Its k nearest training volumes (h, k).
        holdout_rows: Rows of the holdout cohort behind ``holdout``.
        holdout_embedded: Their embeddings (h, d), after the autoencoder where that is the null.
        train: Similarity (n,) of each training volume to its nearest other patient in train.
        memorized: Similarity (n,) of each training volume to its nearest synthetic volume.
        p_values: Conformal p-value (s,) of each synthetic volume against ``holdout``.
        params: What the result says of the search.
    """

    synthetic: FloatArray
    synthetic_index: npt.NDArray[np.int64]
    holdout: FloatArray
    holdout_index: npt.NDArray[np.int64]
    holdout_rows: npt.NDArray[np.intp]
    holdout_embedded: FloatArray
    train: FloatArray
    memorized: FloatArray
    p_values: npt.NDArray[np.float64]
    params: Mapping[str, Any]

    @property
    def suspicious(self) -> npt.NDArray[np.bool_]:
        """Synthetic volumes with p <= 0.05: 1 in 20 of them where nothing was copied."""
        return self.p_values <= ALPHA

    @property
    def discoveries(self) -> npt.NDArray[np.bool_]:
        """Synthetic volumes flagged at a false discovery rate of 0.1."""
        return benjamini_hochberg(self.p_values) <= FALSE_DISCOVERIES + 1e-12


def extractor_of(comparison: Comparison) -> str:
    """The extractor that memorization uses.

    Option ``memorization_extractor``; else the first copy encoder that was asked for, else ssl3d;
    in its place, where the generator's autoencoder is known and no weights are given, the one that
    has learned that autoencoder.
    """
    chosen = comparison.options.get("memorization_extractor")
    if chosen is not None:
        return str(chosen)
    asked = [name for name in comparison.extractor_names if name in COPY_ENCODERS]
    name, workshop = [*asked, "ssl3d"][0], comparison.workshop
    known = workshop.autoencode is not None and "ssl3d" not in workshop.weights
    return "ssl3d_autoencoded" if name == "ssl3d" and known else name


def find_matches(comparison: Comparison) -> Matches:
    """The searches of one comparison, made once, for numbers that rest on the encoder.

    Raises:
        NotComputable: A cohort or the extractor is missing, or the encoder cannot tell copies from
            other patients: every answer would then be inconclusive.
    """
    search = search_matches(comparison)
    require_trusted(comparison)
    return search


def search_matches(comparison: Comparison) -> Matches:
    """As ``find_matches``, whatever the encoder is worth: for candidates that are then verified.

    Raises:
        NotComputable: A cohort or the extractor is missing.
    """
    for role in ("train", "holdout", "synthetic"):
        comparison.cohort(role)
    return comparison.once("memorization:matches", lambda: _search(comparison))


def matched_features(comparison: Comparison) -> Features:
    """Features for copy searches, with real volumes as copies of them would look.

    Where the generator's autoencoder is known, samples bear its blur, so that train and hold-out
    pass through it as well; elsewhere they are as they are. ``params["real_volumes"]`` says which.
    """
    name, autoencode = extractor_of(comparison), comparison.workshop.autoencode
    features = comparison.features(name)
    if autoencode is None:
        return replace(features, params={**features.params, "real_volumes": "as they are"})

    def make() -> Features:
        return replace(
            features,
            train=_embedded(comparison, comparison.train, autoencode),
            holdout=_embedded(comparison, comparison.cohort("holdout"), autoencode),
            params={**features.params, "real_volumes": "after the generator's autoencoder"},
        )

    return comparison.once(f"memorization:matched:{name}", make)


def matches_of(features: Features) -> Matches:
    """As ``find_matches`` on features, without the gate."""
    train, synthetic = pearson_rows(features.train), pearson_rows(features.synthetic)
    rows = one_volume_each(features.holdout_subjects)
    embedded = features.holdout[rows]
    null = pearson_rows(embedded)
    k = min(NEIGHBORS, len(train))
    synthetic_similarity, synthetic_index = top_k(synthetic, train, k)
    null_similarity, null_index = top_k(null, train, k)
    subjects = features.train_subjects
    nearest_other, _ = top_k_of_others(
        train, train, 1, query_groups=subjects, database_groups=subjects
    )
    memorized, _ = top_k(train, synthetic, 1)
    return Matches(
        synthetic=synthetic_similarity,
        synthetic_index=synthetic_index,
        holdout=null_similarity[:, 0],
        holdout_index=null_index,
        holdout_rows=rows,
        holdout_embedded=embedded,
        train=nearest_other[:, 0],
        memorized=memorized[:, 0],
        p_values=conformal_p_values(null_similarity[:, 0], synthetic_similarity[:, 0]),
        params={
            **features.params,
            **search_params(rows=len(train)),
            "n_null": len(rows),
            "n_train": len(train),
            "n_synthetic": len(synthetic),
        },
    )


def one_volume_each(subjects: tuple[str, ...]) -> npt.NDArray[np.intp]:
    """The first row of each subject, in order."""
    return np.sort(np.unique(np.asarray(subjects), return_index=True)[1])


def encoder_auc(comparison: Comparison) -> Estimate:
    """Gate 1: do disturbed copies of held-out patients score above their nearest other patient?

    Area under the ROC curve with a bootstrap over patients.

    Raises:
        NotComputable: Fewer than 5 held-out patients.
    """
    return comparison.once("memorization:auc", lambda: _measure_auc(comparison))


def require_trusted(comparison: Comparison) -> None:
    """Stop where the encoder cannot tell copies apart.

    Raises:
        NotComputable: Its area under the curve is below 0.95.
    """
    auc = encoder_auc(comparison)
    if auc.value < LEAST_AUC:
        raise NotComputable(
            f"inconclusive: the encoder tells copies of {auc.n} held-out patients from other "
            f"patients with an area under the curve of {auc.value:.3f}",
            f"at least {LEAST_AUC}",
            "Train it on more patients or give weights of a better one",
        )


def disturbed_holdout(
    comparison: Comparison, rows: npt.NDArray[np.intp], seeds: Sequence[int]
) -> FloatArray:
    """Embeddings (seeds, n, d) of held-out volumes, disturbed as in training but otherwise drawn.

    After the generator's autoencoder where that is known: all its copies come through it.
    """
    import torch

    from audit.extractors.ssl3d import extent_mm
    from audit.networks.ssl_training import Recipe, disturb

    encoder = comparison.encoder(extractor_of(comparison))
    autoencode = comparison.workshop.autoencode
    extent, recipe = extent_mm(comparison.preprocessing), Recipe()
    embedded = []
    for row in rows:
        volume = comparison.preprocessing(comparison.holdout[int(row)].image)[None]
        volume = volume if autoencode is None else autoencode(volume)
        for seed in seeds:
            rng = torch.Generator().manual_seed(seed * 1_000_003 + int(row))
            seen = disturb(torch.from_numpy(volume), extent, recipe, rng)
            embedded.append(encoder.embed(seen.numpy())[0])
    return np.stack(embedded).reshape(len(rows), len(seeds), -1).swapaxes(0, 1)


def _search(comparison: Comparison) -> Matches:
    features = matched_features(comparison)
    keep_embeddings(comparison, comparison.features(extractor_of(comparison)))
    with comparison.workshop.ledger.phase("audit.neighbors"):
        found = matches_of(features)
        pairs = len(features.train) * (len(features.synthetic) + len(features.holdout))
        comparison.workshop.ledger.work(pairs=pairs)
    return found


def keep_embeddings(comparison: Comparison, features: Features) -> None:
    """Write what was searched to ``private/embeddings``, patients by pseudonym; none in a notebook.

    See ``audit.neighbors.embedding_store``. Other cases or another encoder get a folder of their
    own, so that a repeated run finds its own and no embeddings are mixed.
    """
    if comparison.folder is None:
        return
    for role in ("train", "holdout", "synthetic"):
        rows: FloatArray = getattr(features, role)
        cohort = comparison.cohort(role)
        ids = cohort.ids if role == "synthetic" else tuple(map(pseudonym, cohort.ids))
        key = key_of(encoder=dict(features.params), voxels=list(cohort.case_hashes))
        store_embeddings(
            comparison.folder / "private" / "embeddings" / f"{role}-{key[:12]}",
            ids,
            partial(_part, rows),
            dim=rows.shape[1],
            key=key,
        )


def _part(rows: FloatArray, part: range) -> npt.NDArray[np.float32]:
    return rows[part.start : part.stop].astype(np.float32)


def _embedded(
    comparison: Comparison, cohort: Cohort, autoencode: Autoencode
) -> npt.NDArray[np.float64]:
    """Embeddings (n, d) of a cohort after the generator's autoencoder; kept in the cache."""
    workshop, encoder = comparison.workshop, comparison.encoder(extractor_of(comparison))

    def make() -> dict[str, FloatArray]:
        volumes = (comparison.preprocessing(case.image)[None] for case in cohort)
        return {"rows": np.stack([encoder.embed(autoencode(v))[0] for v in volumes])}

    key = key_of(
        autoencoded=cohort.hash,
        preprocessing=comparison.preprocessing.as_params(),
        encoder=encoder.key,
        autoencoder=workshop.autoencoder_key,
    )
    return workshop.cache.arrays(key, make)["rows"].astype(np.float64)


def _measure_auc(comparison: Comparison) -> Estimate:
    subjects = comparison.cohort("holdout").subjects
    rows = one_volume_each(subjects)
    if len(rows) < 5:
        raise NotComputable(
            f"inconclusive: {len(rows)} held-out patients cannot test the encoder", "at least 5"
        )
    holdout = pearson_rows(matched_features(comparison).holdout[rows])
    seeds = [comparison.workshop.seed + 1 + view for view in range(VIEWS)]
    copies = np.stack([pearson_rows(v) for v in disturbed_holdout(comparison, rows, seeds)])
    same = np.einsum("vnd,nd->nv", copies, holdout)
    own = [str(i) for i in range(len(rows))]
    other, _ = top_k_of_others(holdout, holdout, 1, query_groups=own, database_groups=own)
    return auc_by_patient(same, other)


def auc_by_patient(copies: FloatArray, others: FloatArray) -> Estimate:
    """Area under the ROC curve of scores (n, v) of copies against (n, w) of others; n patients."""
    from audit.statistics.auc import AUC_METHOD, auc_interval

    wins = copies[:, :, None, None] > others[None, None]
    ties = copies[:, :, None, None] == others[None, None]
    value, n = float((wins + 0.5 * ties).mean()), len(copies)
    low, high = auc_interval(value, n, n)
    return Estimate(value=value, low=low, high=high, n=n, method=AUC_METHOD)
