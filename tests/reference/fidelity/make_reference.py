"""Write reference.json: numbers of published implementations on features anyone can draw again.

Run once, outside the project's environment:
    pip install --no-deps --target PEERS torch-fidelity==0.4.0 clean-fid==0.1.35 prdc==0.2 \
        vendi-score==0.0.3
    PYTHONPATH=PEERS python make_reference.py
"""

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

CASES = {"more rows than features": (300, 16), "fewer rows than features": (40, 96)}
KID_SUBSETS, KID_SUBSET_SIZE = 10, 30


def features(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Real and synthetic rows: correlated, shifted, rescaled; the same in the test."""
    rng = np.random.default_rng(20260101)
    mixing = rng.normal(size=(d, d)) / np.sqrt(d)
    real = rng.normal(size=(n, d)) @ mixing
    synthetic = 1.2 * rng.normal(size=(n, d)) @ mixing + 0.15
    return real, synthetic


def numbers(real: np.ndarray, synthetic: np.ndarray) -> dict[str, float]:
    import torch
    from cleanfid.fid import fid_from_feats
    from monai.metrics import FIDMetric
    from prdc import compute_prdc
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from vendi_score import vendi

    x, y = torch.from_numpy(real), torch.from_numpy(synthetic)
    statistics = [fid_features_to_statistics(rows) for rows in (x, y)]
    found = {
        "frechet.torch_fidelity": fid_statistics_to_metric(*statistics, verbose=False)[
            "frechet_inception_distance"
        ],
        "frechet.clean_fid": float(fid_from_feats(real, synthetic)),
        "frechet.monai": float(FIDMetric()(y, x)),
    }
    kid = kid_features_to_metric(
        x, y, kid_subsets=KID_SUBSETS, kid_subset_size=KID_SUBSET_SIZE, rng_seed=2020, verbose=False
    )
    found["kernel.torch_fidelity.mean"] = float(kid["kernel_inception_distance_mean"])
    found["kernel.torch_fidelity.std"] = float(kid["kernel_inception_distance_std"])
    whole = kid_features_to_metric(
        x, y, kid_subsets=1, kid_subset_size=len(real), rng_seed=2020, verbose=False
    )
    found["kernel.torch_fidelity.whole"] = float(whole["kernel_inception_distance_mean"])
    rates = compute_prdc(real_features=real, fake_features=synthetic, nearest_k=5)
    found |= {f"manifold.prdc.{name}": float(value) for name, value in rates.items()}
    found["vendi.vendi_score.q1"] = float(vendi.score_dual(synthetic, q=1))
    found["vendi.vendi_score.q2"] = float(vendi.score_dual(synthetic, q=2))
    found["vendi.vendi_score.qinf"] = float(vendi.score_dual(synthetic, q="inf"))
    return found


def main() -> None:
    warnings.simplefilter("ignore")
    peers = (
        "torch-fidelity",
        "clean-fid",
        "prdc",
        "vendi-score",
        "monai",
        "numpy",
        "scipy",
        "torch",
    )
    record = {
        "versions": {name: version(name) for name in peers},
        "cases": {name: numbers(*features(n, d)) for name, (n, d) in CASES.items()},
    }
    Path(__file__).with_name("reference.json").write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
