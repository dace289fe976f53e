"""Search among a million stored embeddings in bounded memory; the process is its own meter."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.benchmark
ROWS = int(os.environ.get("VOXAUDIT_BENCHMARK_ROWS", "1000000"))
SCRIPT = """
import json, sys, threading, time
from pathlib import Path
import numpy as np
from audit.neighbors.approximate import disturbed
from audit.neighbors.embedding_store import open_embeddings, store_embeddings
from audit.neighbors import pearson_rows, top_k

n, kind, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])

def anonymous():  # MB that the system cannot take back, unlike mapped pages
    line = next(l for l in open("/proc/self/status") if l.startswith("RssAnon"))
    return int(line.split()[1]) / 1e3

def embed(part):
    rng = np.random.default_rng(part.start)
    return pearson_rows(rng.standard_normal((len(part), 128), dtype=np.float32))

store_embeddings(folder, [str(i) for i in range(n)], embed, dim=128, key="b", batch=10_000)
rows = open_embeddings(folder).rows
sources = np.linspace(0, n - 1, 100).astype(int)
queries = disturbed(np.array(rows[sources]), 0.9, np.random.default_rng(0))
top_k(queries[:1], rows[:1000], 1, backend="faiss-cpu")
before, peak, stop = anonymous(), [0.0], threading.Event()

def watch():
    while not stop.wait(0.005):
        peak[0] = max(peak[0], anonymous() - before)

watcher = threading.Thread(target=watch)
watcher.start()
start = time.perf_counter()
_, index = top_k(queries, rows, 2, backend=kind)
seconds = time.perf_counter() - start
stop.set()
watcher.join()
found = float((index[:, 0] == sources).mean())
print(json.dumps({"mb": peak[0], "seconds": seconds, "found": found}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
# Exact: one block of 256 MB and its scores. 8-bit codes: d + 8 bytes a row, one block, and cells.
@pytest.mark.parametrize(
    ("kind", "bytes_a_row", "fixed_mb", "found"),
    [("faiss-cpu", 0, 600, 1.0), ("sq8", 150, 800, 0.9)],
)
def test_memory_of_a_search_is_bounded(kind, bytes_a_row, fixed_mb, found, tmp_path):
    pytest.importorskip("faiss")
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROWS), kind, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=True,
        timeout=900,
    )
    measured = json.loads(made.stdout.splitlines()[-1])
    print(f"{kind}, {ROWS} rows: {measured}")
    assert measured["mb"] <= fixed_mb + bytes_a_row * ROWS / 1e6
    assert measured["found"] >= found
