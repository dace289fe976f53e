"""What two aligned volumes have in common that other patients do not.

Correlation of what is left of both after regression on the shared anatomy, corrected for the white
noise of the suspected copy: noise hides a copy from plain correlation, not from this one.
"""

import math
from itertools import pairwise

import torch

POWERS = (1, 2, 3)
FEWEST_SMOOTHED = 8  # voxels along an axis
PASSES = 2  # of ``smooth`` over both: what a decoder made of the finest detail is no evidence
BLURS = (0, 1, 3)  # further passes over the source: a decoder may have blurred its copy
WIDTH = 4  # voxels along an axis that one independent voxel takes up then
CELLS = 100  # independent voxels below which no noise is corrected: there chance passes for noise


def partial_correlation(
    fixed: torch.Tensor, moved: torch.Tensor, shared: torch.Tensor
) -> torch.Tensor:
    """Correlation (n,) of volumes (n, c, z, y, x) after regression on (n, p, c, z, y, x).

    The square and cube of the first shared volume, the mean, are regressed on as well, so that a
    changed intensity curve leaves nothing. The source may have more detail than its copy: the best
    of ``moved`` with three amounts of blur counts, and the shared volumes are regressed on with all
    three at once, for between two of them their edges would be left in the copy and pass for its
    own. The correlation is divided by the root of the reliability of ``fixed``: that of its two
    halves, the even and the odd voxels of a checkerboard, as far as there are voxels to tell it
    from chance.

    References:
        Correction for attenuation: Spearman 1904, doi 10.2307/1412159.
    """
    whole, halves = smooth(fixed, PASSES), _halves(fixed)
    basis = smooth(_with_powers(shared).flatten(1, 2), PASSES)
    sources = _blurred(smooth(moved, PASSES))
    bases = torch.stack(_blurred(basis), dim=1)
    return _corrected(whole, halves, sources, bases).clamp(-1, 1)


def smooth(volumes: torch.Tensor, passes: int = 1) -> torch.Tensor:
    """Mean over 3 voxels along each axis of (n, c, z, y, x) with at least 8, as decoders smooth."""
    for axis in (2, 3, 4) * passes:
        n = volumes.shape[axis]
        if n < FEWEST_SMOOTHED:
            continue
        low, mid, high = (volumes.narrow(axis, i, n - 2) for i in range(3))
        ends = [volumes.narrow(axis, i, 2).mean(dim=axis, keepdim=True) for i in (0, n - 2)]
        volumes = torch.cat([ends[0], (low + mid + high) / 3, ends[1]], dim=axis)
    return volumes


def _blurred(volumes: torch.Tensor) -> list[torch.Tensor]:
    """The volumes after each of ``BLURS``, of which the first is none, one from the other."""
    found = [volumes]
    for less, more in pairwise(BLURS):
        found.append(smooth(found[-1], more - less))
    return found


def structural_similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """SSIM (n,) of volumes (n, c, z, y, x) in [-1, 1] with a uniform window of up to 7 voxels.

    References:
        Wang et al. 2004, doi 10.1109/TIP.2003.819861.
    """
    z, y, x = (min(7, n) for n in a.shape[2:])

    def mean(volume: torch.Tensor) -> torch.Tensor:
        for window in ((z, 1, 1), (1, y, 1), (1, 1, x)):  # 21 terms a voxel in place of 343
            volume = torch.nn.functional.avg_pool3d(volume, window, stride=1)
        return volume

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    score = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    score = score / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
    return score.flatten(1).mean(dim=1)


def _corrected(
    whole: torch.Tensor,
    halves: tuple[torch.Tensor, torch.Tensor],
    sources: list[torch.Tensor],
    bases: torch.Tensor,
) -> torch.Tensor:
    """Best of the sources (n,), each the mean over channels of corrected partial correlations.

    ``bases`` (n, blurs, p * c, z, y, x) hold what is regressed on, channels last.
    """
    c, least = whole.shape[1], _least_reliability(whole)
    channels = []
    for channel in range(c):
        q = _orthonormal(bases[:, :, channel::c].flatten(1, 2))
        a, even, odd = (_left(v[:, channel], q) for v in (whole, *halves))
        half = _cosine(even, odd).clamp(0, 1)
        reliability = (2 * half / (1 + half)).clamp_min(least)
        plain = torch.stack([_cosine(a, _left(source[:, channel], q)) for source in sources])
        channels.append(plain / reliability.sqrt())
    return torch.stack(channels).mean(dim=0).amax(dim=0)


def _least_reliability(volumes: torch.Tensor) -> float:
    """Reliability below which noise is not corrected.

    Of m independent voxels the energy of noise is known to sqrt(2/m) of it. A correction by the
    root of a reliability r is then wrong by (1 - r) / (r sqrt(2 m)): at most 7 % for r of at least
    sqrt(100/m). In a cube of 32 voxels that is 0.44; in a slice of 32 x 32 nothing is corrected.
    """
    shape = volumes.shape[2:]
    cells = math.prod(shape) / WIDTH ** sum(n >= FEWEST_SMOOTHED for n in shape)
    return min(1.0, math.sqrt(CELLS / cells))


def _with_powers(shared: torch.Tensor) -> torch.Tensor:
    mean = shared[:, :1]
    return torch.cat([shared[:, 1:], *(mean**power for power in POWERS)], dim=1)


def _halves(volumes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Smoothed from the even voxels only, and from the odd ones only."""
    ticks = [torch.arange(n, device=volumes.device) for n in volumes.shape[2:]]
    z, y, x = torch.meshgrid(*ticks, indexing="ij")
    even = ((z + y + x) % 2 == 0).to(volumes.dtype)[None, None]
    first, second = (smooth(smooth(volumes * m) / smooth(m), PASSES - 1) for m in (even, 1 - even))
    return first, second


def _orthonormal(basis: torch.Tensor) -> torch.Tensor:
    """Orthonormal columns (n, voxels, p) that span the centered volumes (n, p, z, y, x)."""
    rows = basis.flatten(2)
    rows = rows - rows.mean(dim=2, keepdim=True)
    rows = rows / rows.norm(dim=2, keepdim=True).clamp_min(1e-6)
    return torch.linalg.qr(rows.transpose(1, 2))[0]


def _left(volumes: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """What is left (n, voxels) of centered volumes (n, z, y, x) after regression."""
    rows = volumes.flatten(1)
    rows = rows - rows.mean(dim=1, keepdim=True)
    return rows - (q @ (q.transpose(1, 2) @ rows[:, :, None]))[:, :, 0]


def _cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-6)
