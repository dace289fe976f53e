"""Inception v3 trained on ImageNet, on three planes (2.5D); weights from a file.

torchvision's port with the input it was trained with. Not the TensorFlow 2015 network of FID tables
of natural images: for that one, script it and use ``local_planes``.
"""

from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks.from_torchvision import plane_network
from audit.preprocessing import Preprocessing


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the weights the user names."""
    return plane_network(
        workshop,
        name="imagenet_inception_v3",
        architecture="inception_v3",
        normalization="imagenet",
    )


EXTRACTOR = Extractor(
    fit=fit, dim=6144, source="Szegedy et al. 2016, arXiv:1512.00567; torchvision inception_v3"
)
