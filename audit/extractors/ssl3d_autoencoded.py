"""Copy-detection encoder that has learned the generator's own autoencoder, where that is known.

As ``ssl3d``, with decode(encode(...)) for half of all views: a generator's copies come through it.
Memorization takes it in place of ``ssl3d`` where the generator shows its autoencoder. Fidelity does
not, for it is another network for each generator and made blind to just that one's blur.
"""

from dataclasses import replace

from audit.cohort import Cohort
from audit.errors import NotComputable
from audit.extractor import Encoder, Extractor, Workshop
from audit.extractors.ssl3d import given, trained
from audit.preprocessing import Preprocessing


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:
    """Train on the cohort and the autoencoder, or take the weights from cache or given file.

    Raises:
        NotComputable: No autoencoder is known, or fewer than 8 patients to learn from.
    """
    file = workshop.weights.get("ssl3d_autoencoded")
    if file is not None:
        return given(file, preprocessing, workshop)
    if workshop.autoencode is None:
        raise NotComputable(
            "the generator's autoencoder is not known",
            "a generator with autoencode(volumes) and identity()",
            "Use ssl3d",
        )
    encoder = trained(train, preprocessing, workshop)
    # A share judged by held-out patients who came the same way is defined by how and on whom the
    # encoder was trained; its weights differ with each generator and would make none comparable.
    params = {k: v for k, v in encoder.params.items() if k != "weights_sha256"}
    sha256 = encoder.params["weights_sha256"]
    return replace(encoder, params={**params, "trained_on": train.hash, "encoder_sha256": sha256})


EXTRACTOR = Extractor(
    fit=fit,
    dim=128,
    source="NT-Xent (Chen et al. 2020, arXiv:2002.05709) as in Dar et al. 2024, arXiv:2402.01054",
    blind_to=("noise", "blur", "intensity_shift"),
)
