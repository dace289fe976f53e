"""Loss of the built-in segmenter: overlap, likelihood, and the volume of each structure.

Dice hardly sees a boundary that lies a third of a voxel too far out, but a cavity of five voxels
across is then a quarter too large, and an ejection fraction several points too low. So the volume
that the shares add up to is held against the true one, frame by frame, on a logarithmic scale: a
small end-systolic cavity counts as much as a large one. Its weight grows with training: volumes of
a network that has not found the heart yet say nothing. The pull of one structure is bounded: where
a nodule of five voxels is not found, a squared error would outweigh every other structure.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

VOLUME_WEIGHT = 4.0
"""At the end of training."""
BOUND = 0.2
"""Log ratio of volumes from which the pull grows no further."""
LEAST_VOXELS = 20.0
"""Added to both volumes, so that a structure of few voxels, or of none, does not rule the loss."""


def segmentation_loss(
    scores: "torch.Tensor", codes: "torch.Tensor", *, progress: float
) -> "torch.Tensor":
    """Dice and cross-entropy as MONAI has them, and the error of volume.

    Args:
        scores: (b, k, z, y, x), background first.
        codes: True classes (b, 1, z, y, x).
        progress: Part of the training that is done, 0 to 1.
    """
    from monai.losses.dice import DiceCELoss

    # Dice of each frame on its own: pooled, small end-systolic cavities would hardly count.
    overlap = DiceCELoss(softmax=True, to_onehot_y=True, include_background=False)
    weight = VOLUME_WEIGHT * progress
    value: torch.Tensor = overlap(scores, codes) + weight * log_volume_error(scores, codes)
    return value


def log_volume_error(scores: "torch.Tensor", codes: "torch.Tensor") -> "torch.Tensor":
    """Mean over frames and structures of Huber's loss of the log of made to true volume.

    The made volume is the sum of shares.

    Args:
        scores: (b, k, z, y, x), background first.
        codes: True classes (b, 1, z, y, x).
    """
    import torch
    from torch.nn.functional import huber_loss

    structures = torch.arange(1, scores.shape[1], device=scores.device)
    made = torch.softmax(scores, dim=1)[:, 1:].sum(dim=(2, 3, 4))
    true = (codes == structures[:, None, None, None]).sum(dim=(2, 3, 4))
    error = ((made + LEAST_VOXELS) / (true + LEAST_VOXELS)).log()
    return huber_loss(error, torch.zeros_like(error), delta=BOUND)
