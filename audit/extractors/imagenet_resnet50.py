"""ResNet-50 trained on ImageNet, on three planes (2.5D); weights from a file.

Takes any checkpoint of torchvision's resnet50. Slices are scaled to 224 and averaged per volume.
"""

from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks.from_torchvision import plane_network
from audit.preprocessing import Preprocessing


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the weights the user names."""
    return plane_network(
        workshop, name="imagenet_resnet50", architecture="resnet50", normalization="imagenet"
    )


EXTRACTOR = Extractor(
    fit=fit, dim=6144, source="He et al. 2016, arXiv:1512.03385; torchvision resnet50"
)
