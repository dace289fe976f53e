"""MedicalNet ResNet-50: a 3D network trained on 23 segmentation data sets; weights from a file.

Each frame is z-scored over its own voxels above the background, as the network was trained, so a
global change of intensity is invisible to it. Features are averaged over space and frames.
"""

from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks.medicalnet import medicalnet_encoder
from audit.preprocessing import Preprocessing


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the weights the user names."""
    return medicalnet_encoder(workshop, depth=50, name="medicalnet_resnet50")


EXTRACTOR = Extractor(
    fit=fit, dim=2048, source="Chen et al. 2019, arXiv:1904.00625; MONAI resnet50"
)
