"""ResNet-50 trained on RadImageNet, on three planes (2.5D); weights from a file.

Slices are RGB copies in BGR order less the ImageNet mean, as the published MAISI script feeds them.
The license of these weights is in dispute: bring your own copy.
"""

from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks.from_torchvision import plane_network
from audit.preprocessing import Preprocessing


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the weights the user names."""
    return plane_network(
        workshop, name="radimagenet_resnet50", architecture="resnet50", normalization="radimagenet"
    )


EXTRACTOR = Extractor(
    fit=fit, dim=6144, source="Mei et al. 2022, doi 10.1148/ryai.210315; torchvision resnet50"
)
