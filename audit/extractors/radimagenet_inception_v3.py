"""Inception v3 trained on RadImageNet, on three planes (2.5D); weights from a file.

Input as for ``radimagenet_resnet50``. The license of these weights is in dispute: bring your own
copy.
"""

from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks.from_torchvision import plane_network
from audit.preprocessing import Preprocessing


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the weights the user names."""
    return plane_network(
        workshop,
        name="radimagenet_inception_v3",
        architecture="inception_v3",
        normalization="radimagenet",
    )


EXTRACTOR = Extractor(
    fit=fit, dim=6144, source="Mei et al. 2022, doi 10.1148/ryai.210315; torchvision inception_v3"
)
