"""Between the suite's ``b c t z y x`` and the orders of the official code, H being x and W y."""

import torch


def volume_to_model(tensor: torch.Tensor) -> torch.Tensor:
    """(b, c, 1, z, y, x) to (b, c, x, y, z)."""
    return tensor[:, :, 0].permute(0, 1, 4, 3, 2)


def volume_from_model(tensor: torch.Tensor) -> torch.Tensor:
    """(b, c, x, y, z) to (b, c, 1, z, y, x)."""
    return tensor.permute(0, 1, 4, 3, 2)[:, :, None]


def whole_images(images: torch.Tensor, picks: torch.Tensor) -> torch.Tensor:  # noqa: ARG001
    """What a first stage on volumes trains on: the images as they are."""
    return images
