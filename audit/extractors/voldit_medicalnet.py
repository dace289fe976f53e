"""The feature protocol of VolDiT's LUNA16 table: MedicalNet ResNet-50 on [-1, 1], without z-score.

Same network and weights as ``medicalnet_resnet50``, fed as VolDiT's released code does. Use it to
set a value beside that table, with 100 volumes a side as there; elsewhere prefer
``medicalnet_resnet50``, whose input the network was trained on.
"""

from audit.cohort import Cohort
from audit.extractor import Encoder, Extractor, Workshop
from audit.networks.medicalnet import medicalnet_encoder
from audit.preprocessing import Preprocessing


def fit(train: Cohort, preprocessing: Preprocessing, workshop: Workshop) -> Encoder:  # noqa: ARG001
    """Load the weights the user names."""
    return medicalnet_encoder(workshop, depth=50, name="voldit_medicalnet", z_score=False)


EXTRACTOR = Extractor(
    fit=fit, dim=2048, source="VolDiT evaluation code (medicalnet_resnet50_23datasets on [-1, 1])"
)
