"""Speed as ratios of process CPU time against named peers, both measured in the same run.

Peers that are not installed skip their case. Install them aside from the project with
``pip install --no-deps --target FOLDER torch-fidelity==0.4.0 clean-fid==0.1.35 prdc==0.2
torchmetrics==1.9.0 lightning-utilities`` with that folder on PYTHONPATH. MONAI is a dependency, so
its comparison always runs.
"""

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from audit.statistics.frechet import frechet
from audit.statistics.manifold import manifold
from audit.statistics.mmd import mmd2_of_subsets

pytestmark = pytest.mark.benchmark


def cpu_s(work: Callable[[], object], *, repeats: int = 1) -> float:
    """CPU seconds of one call, all threads together."""
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats


def features(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features with a decaying spectrum, as networks give them."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(d, d)) * np.geomspace(1, 0.05, d) / np.sqrt(d)
    return tuple(  # type: ignore[return-value]
        np.maximum(rng.normal(size=(n, d)) @ mixing + shift, 0) for shift in (0.0, 0.01)
    )


def monai_frechet(real: np.ndarray, synthetic: np.ndarray) -> object:
    import torch
    from monai.metrics import FIDMetric

    return FIDMetric()(torch.from_numpy(synthetic), torch.from_numpy(real))


def clean_fid_frechet(real: np.ndarray, synthetic: np.ndarray) -> object:
    fid = pytest.importorskip("cleanfid.fid")
    return fid.fid_from_feats(real, synthetic)


def torch_fidelity_frechet(real: np.ndarray, synthetic: np.ndarray) -> object:
    import torch

    peer = pytest.importorskip("torch_fidelity.metric_fid")
    statistics = [peer.fid_features_to_statistics(torch.from_numpy(r)) for r in (real, synthetic)]
    return peer.fid_statistics_to_metric(*statistics, verbose=False)


def torchmetrics_frechet(real: np.ndarray, synthetic: np.ndarray) -> object:
    """Its covariance and root; without its loop over batches, which only adds time."""
    import torch

    peer = pytest.importorskip("torchmetrics.image.fid")
    sides = [torch.from_numpy(r) for r in (real, synthetic)]
    (m1, c1), (m2, c2) = ((s.mean(dim=0), torch.cov(s.T)) for s in sides)
    return peer._compute_fid(m1, c1, m2, c2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the peer's scipy.linalg.sqrtm(disp=)
@pytest.mark.parametrize("peer", [monai_frechet, clean_fid_frechet])
def test_frechet_of_200_volumes_is_300_times_faster(peer: Callable[..., object]) -> None:
    real, synthetic = features(200, 2048)
    ours = cpu_s(lambda: frechet(real=real, synthetic=synthetic), repeats=20)
    theirs = cpu_s(lambda: peer(real, synthetic))
    print(json.dumps({"peer": peer.__name__, "n": 200, "ours_s": ours, "ratio": theirs / ours}))
    assert theirs / ours >= 300


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "peer", [torch_fidelity_frechet, torchmetrics_frechet, monai_frechet, clean_fid_frechet]
)
def test_frechet_of_5000_volumes_is_no_slower(peer: Callable[..., object]) -> None:
    real, synthetic = features(5000, 2048)
    ours = cpu_s(lambda: frechet(real=real, synthetic=synthetic))
    theirs = cpu_s(lambda: peer(real, synthetic))
    print(json.dumps({"peer": peer.__name__, "n": 5000, "ours_s": ours, "ratio": theirs / ours}))
    assert theirs / ours >= 1


def test_kernel_distance_over_subsets_is_15_times_faster() -> None:
    import torch

    peer = pytest.importorskip("torch_fidelity.metric_kid")
    real, synthetic = (rows.astype(np.float32) for rows in features(2000, 2048))

    def ours() -> object:
        rng = np.random.RandomState(2020)  # the peer's generator
        subsets = [
            (rng.choice(2000, 1000, replace=False), rng.choice(2000, 1000, replace=False))
            for _ in range(100)
        ]
        return mmd2_of_subsets(real=real, synthetic=synthetic, subsets=subsets)

    def theirs() -> object:
        return peer.kid_features_to_metric(
            torch.from_numpy(real), torch.from_numpy(synthetic), kid_subsets=100,
            kid_subset_size=1000, rng_seed=2020, verbose=False,
        )  # fmt: skip

    own = cpu_s(ours)
    ratio = cpu_s(theirs) / own
    print(json.dumps({"peer": "torch_fidelity KID", "ours_s": own, "ratio": ratio}))
    assert ratio >= 15


MEMORY = """
import json, sys, time
import numpy as np
rng = np.random.default_rng(0)
real, synthetic = rng.normal(size=(10000, 256)), rng.normal(size=(10000, 256))
start = time.process_time()
if sys.argv[1] == "ours":
    from audit.statistics.manifold import manifold
    manifold(real=real, synthetic=synthetic)
else:
    from prdc import compute_prdc
    compute_prdc(real_features=real, fake_features=synthetic, nearest_k=5)
# Not ru_maxrss, which starts at the parent's.
peak = next(int(x.split()[1]) for x in open("/proc/self/status") if x.startswith("VmHWM"))
print(json.dumps([time.process_time() - start, peak * 1024]))
"""


def test_manifold_of_10000_takes_half_the_time_and_memory_of_prdc() -> None:
    pytest.importorskip("prdc")
    found = {}
    for side in ("ours", "prdc"):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, side], capture_output=True, text=True, check=True
        )
        found[side] = json.loads(done.stdout.splitlines()[-1])
    (own_s, own_bytes), (peer_s, peer_bytes) = found["ours"], found["prdc"]
    print(json.dumps({"cpu_ratio": peer_s / own_s, "memory_ratio": peer_bytes / own_bytes}))
    assert peer_s / own_s >= 2
    assert peer_bytes / own_bytes >= 2


def test_manifold_keeps_no_square_matrix() -> None:
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(size=(8000, 16)), rng.normal(size=(8000, 16))
    tracemalloc.start()
    manifold(real=real, synthetic=synthetic)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 8000 * 8000 / 2
