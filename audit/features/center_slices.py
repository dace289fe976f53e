"""Features of single slices, as 2.5D protocols take them: the middle of each plane, one by one."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from audit.cache import key_of
from audit.comparison import Comparison
from audit.extractor import Encoder
from audit.features.by_role import rows_by_role

if TYPE_CHECKING:
    import torch

    from audit.networks.from_torchvision import SliceNetwork

Images = npt.NDArray[np.float32]
PLANES = ("xy", "zx", "yz")
CENTER_SHARE = 0.4
VERSION = 1


def center_counts(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Slices taken across z, y and x of a grid (t, z, y, x), over all frames."""
    t, *sizes = shape
    z, y, x = (t * max(1, round(CENTER_SHARE * size)) for size in sizes)
    return z, y, x


def center_slices(volume: Images, axis: int) -> Images:
    """The middle 40 % of slices (k, h, w) across one axis of (t, z, y, x), min–max to [-1, 1].

    One range serves all slices of the volume and plane, as in the published script. A wrong
    intensity scale therefore goes unseen.
    """
    size = volume.shape[1 + axis]
    count = max(1, round(CENTER_SHARE * size))
    start = (size - count) // 2
    taken = np.moveaxis(volume, 1 + axis, 1)[:, start : start + count]
    flat = taken.reshape(-1, *taken.shape[2:])
    low, high = float(flat.min()), float(flat.max())
    return (flat - low) * (2 / max(high - low, 1e-6)) - 1


def slice_rows(
    comparison: Comparison, name: str, make: "Callable[[], SliceNetwork]"
) -> dict[str, Images]:
    """Features (n, slices · d) of all volumes by role: planes in the order of ``PLANES``.

    Args:
        comparison: The cohorts.
        name: Of the network.
        make: Loads it.

    Raises:
        NotComputable: It cannot be had.
    """

    def embed_all() -> dict[str, Images]:
        network = make()
        encoder = Encoder(
            embed=lambda batch: np.stack(
                [_all_planes(v, network.forward, comparison.workshop.device) for v in batch]
            ),
            key=key_of(center_slices=VERSION, weights=network.sha256, **network.settings),
            batch_size=1,
        )
        return rows_by_role(comparison, f"{name}.slices", encoder)

    return comparison.once(f"slices:{name}", embed_all)


def _all_planes(
    volume: Images, forward: "Callable[[torch.Tensor], torch.Tensor]", device: str
) -> Images:
    """Features of every center slice of (c, t, z, y, x), flat."""
    import torch

    rows = []
    with torch.inference_mode():
        for axis in range(3):
            slices = torch.from_numpy(center_slices(volume.mean(axis=0), axis))[:, None]
            rows += [forward(part.to(device)).float().cpu() for part in slices.split(16)]
    return torch.cat(rows).numpy().ravel()
