"""Who proposes nearest neighbors: faiss on GPU or CPU, torch, numpy; and which of them work."""

import functools
import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from audit.errors import NotComputable, RunBroken

Backend = Literal["auto", "faiss-gpu", "faiss-cpu", "torch", "numpy", "ivf", "sq8", "hnsw"]
Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int64]
Check = tuple[str, str, str, str]

BLOCK_BYTES = 1 << 28
GPU_FROM_FLOP = 2e11  # below this the transfer costs more than the search
DISTRIBUTIONS = (
    "faiss",
    "faiss-cpu",
    "faiss-gpu",
    "faiss-gpu-cu11",
    "faiss-gpu-cu12",
    "faiss-gpu-cuvs",
    "faiss-cuda",
)
GPU_PROBE = """
import faiss, numpy as np
assert faiss.get_num_gpus() > 0
index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), 8)
rows = np.eye(8, dtype=np.float32)
index.add(rows)
assert (index.search(rows, 1)[1][:, 0] == np.arange(8)).all()
"""

_searched_in: list[int] = []  # pid of the process that first called faiss or torch


def load_faiss() -> Any:
    """The faiss module, set up for use beside torch.

    Raises:
        NotComputable: It is not installed or its installation is damaged.
        RunBroken: This process was forked after a search; faiss would hang in it.
    """
    if forked_after_search():
        raise RunBroken(
            "faiss was called in a process forked after a search",
            "a spawned process or the main one",
            "Use the multiprocessing start method 'spawn'",
        )
    try:
        faiss = importlib.import_module("faiss")
        faiss.IndexFlatIP  # noqa: B018 - an empty namespace package imports too
    except (ImportError, AttributeError) as error:
        raise NotComputable(
            "faiss is missing or damaged",
            "one working installation",
            "Run `pip install --force-reinstall --no-deps faiss-gpu` (faiss-cpu off Linux x86-64)",
        ) from error
    if sys.platform == "darwin":
        faiss.omp_set_num_threads(1)  # two OpenMP runtimes crash there
    if not _searched_in:
        _searched_in.append(os.getpid())
    return faiss


@functools.cache
def gpu_works() -> bool:
    """Whether faiss can search on a GPU; tried once in a child, since a failing call aborts."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", GPU_PROBE], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return child.returncode == 0


def installed_faiss() -> dict[str, str]:
    """Versions of the installed distributions that bring a ``faiss`` module."""
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def choose(backend: Backend, flop: float) -> str:
    """The backend for a search of so many floating-point operations."""
    if backend != "auto":
        return backend
    if forked_after_search():
        return "numpy"
    if flop >= GPU_FROM_FLOP and gpu_works():
        return "faiss-gpu"
    try:
        load_faiss()
    except NotComputable:
        return "torch"
    return "faiss-cpu"


def merge(
    similarities: Sequence[Floats], indices: Sequence[Indices], k: int
) -> tuple[Floats, Indices]:
    """Best k of shards' results (n, k_i) with global row numbers; equal ones by row number."""
    similarity, index = np.concatenate(similarities, axis=1), np.concatenate(indices, axis=1)
    order = np.lexsort((index, -similarity), axis=1)[:, :k]
    return np.take_along_axis(similarity, order, axis=1), np.take_along_axis(index, order, axis=1)


def neighbor_checks() -> list[Check]:
    """Lines for `voxaudit doctor`: (name, OK | WARN | FAIL, message, fix)."""
    return [_check_packages(), _check_gpu(), _check_openmp(), _check_fork()]


def _check_packages() -> Check:
    found = installed_faiss()
    listed = ", ".join(f"{name} {version}" for name, version in found.items()) or "none"
    if len(found) > 1:
        keep = "faiss-gpu" if "faiss-gpu" in found else next(iter(found))
        fix = f"pip uninstall {' '.join(found)}; pip install {keep}"
        return "faiss", "FAIL", f"several packages overwrite each other: {listed}", fix
    if not found:
        return "faiss", "WARN", "not installed; torch searches instead", "pip install faiss-cpu"
    try:
        load_faiss()
    except NotComputable:
        fix = f"pip install --force-reinstall --no-deps {next(iter(found))}"
        return "faiss", "FAIL", f"{listed} is damaged: it imports empty", fix
    return "faiss", "OK", listed, ""


def _check_gpu() -> Check:
    import torch

    if gpu_works():
        return "faiss on GPU", "OK", "a search in a child process succeeded", ""
    if torch.cuda.is_available():
        fix = "pip install faiss-gpu (official, >= 1.14.3)"
        return "faiss on GPU", "WARN", "torch sees a GPU, faiss cannot search on it", fix
    return "faiss on GPU", "OK", "no GPU; the CPU searches", ""


def _check_openmp() -> Check:
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    runtimes = {pool["filepath"] for pool in threadpool_info() if pool["user_api"] == "openmp"}
    passive = os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE"
    if len(runtimes) > 1 and not passive:
        message = f"{len(runtimes)} OpenMP runtimes in one process spin against each other"
        return "OpenMP", "WARN", message, "export OMP_WAIT_POLICY=PASSIVE"
    return "OpenMP", "OK", f"{len(runtimes)} runtime(s) loaded", ""


def _check_fork() -> Check:
    import multiprocessing

    if multiprocessing.get_start_method(allow_none=True) == "fork" and _searched_in:
        message = "children forked from here search with numpy: faiss would hang in them"
        return "fork", "WARN", message, "multiprocessing.set_start_method('spawn')"
    return "fork", "OK", "searches run in the main process; forked children use numpy", ""


def _faiss_cpu(q: Floats, x: Floats, k: int) -> tuple[Any, Any]:
    faiss = load_faiss()
    found: tuple[Any, Any] = faiss.knn(q, x, k, metric=faiss.METRIC_INNER_PRODUCT)
    return found


def _faiss_gpu(q: Floats, x: Floats, k: int) -> tuple[Any, Any]:
    """One shard per GPU, merged."""
    if not gpu_works():
        raise NotComputable("faiss cannot search on a GPU here", "a GPU that passes the probe")
    faiss = load_faiss()
    parts = []
    bounds = np.linspace(0, len(x), faiss.get_num_gpus() + 1).astype(int)
    for device, (low, high) in enumerate(itertools.pairwise(bounds)):
        if high > low:
            resources = faiss.StandardGpuResources()
            resources.setTempMemory(256 << 20)  # the default of 1.5 GB starves torch
            similarity, index = faiss.knn_gpu(
                resources,
                q,
                np.ascontiguousarray(x[low:high]),
                min(k, int(high - low)),
                metric=faiss.METRIC_INNER_PRODUCT,
                device=device,
            )
            parts.append((similarity, index + low))
    return merge([p[0] for p in parts], [p[1] for p in parts], k)


def _torch(q: Floats, x: Floats, k: int) -> tuple[Any, Any]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    database = torch.from_numpy(np.array(x)).to(device)
    parts = []
    for block in torch.from_numpy(np.array(q)).split(_rows_at_once(len(x))):
        similarity, index = (block.to(device) @ database.T).topk(k, dim=1)
        parts.append((similarity.cpu().numpy(), index.cpu().numpy()))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _numpy(q: Floats, x: Floats, k: int) -> tuple[Any, Any]:
    parts = []
    for start in range(0, len(q), _rows_at_once(len(x))):
        similarity = q[start : start + _rows_at_once(len(x))] @ x.T
        index = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        parts.append((np.take_along_axis(similarity, index, axis=1), index))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


SEARCHES: dict[str, Callable[[Floats, Floats, int], tuple[Any, Any]]] = {
    "faiss-gpu": _faiss_gpu,
    "faiss-cpu": _faiss_cpu,
    "torch": _torch,
    "numpy": _numpy,
}


def _rows_at_once(database: int) -> int:
    return max(1, BLOCK_BYTES // (4 * database))


def forked_after_search() -> bool:
    """Whether this process was forked from one that had loaded faiss."""
    return bool(_searched_in) and _searched_in[0] != os.getpid()
