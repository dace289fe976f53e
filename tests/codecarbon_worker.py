"""codecarbon's own code over invented counters: two GPUs behind NVML, two packages behind RAPL.

Run as ``python codecarbon_worker.py FOLDER MODE``; prints the ledger's records as JSON. The clock
is invented too: nothing sleeps, and energy must come out as power times time.
"""

import itertools
import json
import sys
import time
import types
from pathlib import Path

FOLDER, MODE = Path(sys.argv[1]), sys.argv[2]
GPU_W, CPU_W, RANGE_UJ = (300, 50), (120, 80), 1_000_000_000
NOW = {"s": 1000.0}
TICKS = itertools.count()


def perf_counter():
    return NOW["s"] + 1e-7 * next(TICKS)  # a clock that stands makes codecarbon divide by zero


def advance(seconds):
    NOW["s"] += seconds
    for package, watts in enumerate(CPU_W):
        counted = round((NOW["s"] + 300 * package) * watts * 1e6) % RANGE_UJ
        (domain(package) / "energy_uj").write_text(str(counted))


def domain(package):
    return FOLDER / "intel-rapl" / f"intel-rapl:{package}"


def fake_nvml():
    nvml = types.ModuleType("pynvml")
    nvml.NVMLError = type("NVMLError", (Exception,), {})
    nvml.NVMLError_NotSupported = type("NVMLError_NotSupported", (nvml.NVMLError,), {})
    nvml.NVML_TEMPERATURE_GPU = 0

    def energy(handle):
        if MODE == "no_counter":
            raise nvml.NVMLError("Not Supported")
        return round(NOW["s"] * GPU_W[handle] * 1000)

    memory = types.SimpleNamespace(total=80 << 30, used=1 << 30, free=79 << 30)
    answers = {
        "nvmlInit": None, "nvmlShutdown": None, "nvmlDeviceGetCount": 2,
        "nvmlDeviceGetName": "Invented", "nvmlDeviceGetUUID": "uuid",
        "nvmlDeviceGetMemoryInfo": memory, "nvmlDeviceGetTemperature": 40,
        "nvmlDeviceGetEnforcedPowerLimit": 400_000, "nvmlDeviceGetComputeMode": 0,
        "nvmlDeviceGetUtilizationRates": types.SimpleNamespace(gpu=90, memory=10),
        "nvmlDeviceGetComputeRunningProcesses": [], "nvmlDeviceGetGraphicsRunningProcesses": [],
        "nvmlSystemGetDriverVersion": "999.1",
    }  # fmt: skip
    for name, answer in answers.items():
        setattr(nvml, name, lambda *_, answer=answer: answer)
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetTotalEnergyConsumption = energy
    nvml.nvmlDeviceGetPowerUsage = lambda handle: GPU_W[handle] * 1000
    return nvml


def invent():
    for package in range(2):
        domain(package).mkdir(parents=True)
        (domain(package) / "name").write_text(f"package-{package}")
        (domain(package) / "max_energy_range_uj").write_text(str(RANGE_UJ))
    advance(0)
    sys.modules["pynvml"] = fake_nvml()
    time.perf_counter = perf_counter
    from codecarbon.core import cpu, gpu
    from codecarbon.external import hardware

    available, rapl = cpu.is_rapl_available, hardware.IntelRAPL
    cpu.is_rapl_available = lambda *_: available(str(FOLDER))
    hardware.IntelRAPL = lambda rapl_dir, **settings: rapl(rapl_dir=str(FOLDER), **settings)
    gpu.is_nvidia_system = lambda: True


invent()

from audit.energy_sources.codecarbon_offline import CodecarbonSource  # noqa: E402
from audit.ledger import Ledger  # noqa: E402

ledger = Ledger(CodecarbonSource(), clock=lambda: NOW["s"], file=FOLDER / "ledger.jsonl")
with ledger.phase("denoiser_train"):  # 48 and 32 kJ of CPU on counters that wrap at 1 kJ
    for _ in range(100):
        advance(4)
        ledger.settle()
    ledger.work(steps=100)
for _ in range(2):
    with ledger.phase("sampling"):
        advance(4)
        with ledger.phase("decoding"):
            advance(1)
        ledger.work(volumes=1)
ledger.source.close()
print(json.dumps([r.model_dump() for r in ledger.records()]))
