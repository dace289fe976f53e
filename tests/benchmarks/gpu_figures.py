"""Every figure that needs a GPU, in one command and under eight minutes.

    python tests/benchmarks/gpu_figures.py --out FOLDER

writes ``gpu.json`` and ``gpu.md`` (rewritten after every measurement, so that a run that is cut off
leaves what it had). ``--device cpu --small`` drives the same code at a reduced size.

Four questions: does every family train and sample there and agree with the CPU; do feature
networks; what does a 512×512×256 volume take in memory, and does it fit a card of 8 GB; how many
volumes an hour come out, against the loop of the official scripts in the same run. Random weights
of full size. Few steps are timed and multiplied by the schedule's 300: steps are alike.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "generators"))
from micro import micro_recipe

from generators.hardware import autocast, compile_denoiser
from generators.protocol import GENERATORS
from generators.recipe import parse, read_recipe

FAMILIES = ("voldit", "cardiodit", "medlord", "ldm")
PRESETS = {"voldit": "voldit-l-4", "medlord": "medlord-ds8-pccta"}
STEPS = 300
CARD_GB = 8.0
VARIANTS = ("batch 4", "channels last", "compiled", "compiled, batch 4")


def main(words: list[str] | None = None) -> dict[str, Any]:
    """Measure and write; returns what ``gpu.json`` holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--minutes", type=float, default=6.5, help="no measurement starts later")
    given = parser.parse_args(words)
    device = torch.device(given.device)
    found: dict[str, Any] = {"machine": machine(device), "small": given.small}
    deadline = time.monotonic() + 60 * given.minutes
    for name, measure in plan(device, small=given.small):
        start = time.monotonic()
        if start > deadline:
            found[name] = {"not measured": "no time was left"}
        else:
            try:
                found[name] = measure()
            except Exception as error:  # noqa: BLE001 - the next measurement may still work
                found[name] = {"failed": f"{type(error).__name__}: {error}"[:500]}
            found[name]["took_s"] = round(time.monotonic() - start, 1)
            print(name, json.dumps(found[name]), flush=True)
        found["reference / ours"] = ratios(found)
        release(device)
        write(given.out, found)
    return found


def plan(device: torch.device, *, small: bool) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """What is measured, by name, the most wanted first."""
    steps: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        (f"works: {family}", lambda f=family: works(f, device)) for family in FAMILIES
    ]
    steps.append(("works: features", lambda: features(device)))
    for conditional in (True, False):
        for family in PRESETS:
            name = f"{family} {'conditional' if conditional else 'unconditional'}"
            model = lambda f=family, c=conditional: Subject(f, device, conditional=c, small=small)  # noqa: E731
            steps.append((f"full size: {name}", lambda m=model: full_size(m())))
    for family, name in product(PRESETS, VARIANTS):
        model = lambda f=family: Subject(f, device, conditional=False, small=small)  # noqa: E731
        steps.append((f"{family} {name}", lambda m=model, n=name: variant(m(), n)))
    return steps


def works(family: str, device: torch.device) -> dict[str, Any]:
    """A few training steps of every stage in bf16, then a sample against the CPU's."""
    from audit.phantoms import heart_cohort, thorax_cohort
    from generators import drawing

    stages = {"precision": "bf16"}
    changes = dict.fromkeys(("stage1", "denoiser"), stages)
    if family in {"voldit", "medlord"}:
        changes["adapter"] = stages
    masked = family != "cardiodit"
    cohort = (
        thorax_cohort(2, size=32, nodules=False) if masked else heart_cohort(2, size=32, frames=8)
    )
    generator = GENERATORS.load(family)(micro_recipe(family, **changes))
    structures = ("lung_left", "heart") if masked else None
    generator.fit(cohort, seed=0, structures=structures, cpu=device.type == "cpu")
    drawn = {}
    for place in (device, torch.device("cpu")):
        conditions = cohort if masked else None
        with mock.patch.object(drawing, "best_device", return_value=place):
            (case,) = generator.sample(1, seed=3, conditions=conditions, precision="no")
        drawn[place.type] = torch.from_numpy(case.image.array)
    ours, cpu = drawn[device.type], drawn["cpu"]
    return {
        "trained on": str(device),
        "largest difference from the CPU, share of the range": round(
            float((ours - cpu).abs().max() / (cpu.max() - cpu.min()).clamp_min(1e-6)), 6
        ),
    }


def features(device: torch.device) -> dict[str, Any]:
    """Of MedicalNet's layout with random weights, against the CPU's; and the trained encoder's."""
    from audit.cache import Cache
    from audit.extractor import EXTRACTORS, Workshop, embed_cohort
    from audit.ledger import Ledger
    from audit.phantoms import thorax_cohort
    from audit.preprocessing import fit_preprocessing

    cohort = thorax_cohort(8, role="train")
    preprocessing = fit_preprocessing(cohort)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "resnet_10.pth"
        torch.save({"state_dict": medicalnet_with_random_weights().state_dict()}, file)
        rows = {}
        for place in dict.fromkeys((device.type, "cpu")):
            shop = Workshop(
                cache=Cache(Path(folder) / place),
                seed=0,
                device=place,
                ledger=Ledger(),
                weights={"medicalnet_resnet10": file},
            )
            for name in ("medicalnet_resnet10", "ssl3d"):
                encoder = EXTRACTORS.load(name).fit(cohort, preprocessing, shop)
                start = time.monotonic()
                rows[name, place] = embed_cohort(cohort, encoder, preprocessing, shop.cache)
                found[f"{name}, volumes/s on {place}"] = round(8 / (time.monotonic() - start), 1)
    ours, cpu = (rows["medicalnet_resnet10", place] for place in (device.type, "cpu"))
    apart = float(abs(ours - cpu).max() / (cpu.max() - cpu.min()))
    return {"largest difference from the CPU, share of the range": round(apart, 6), **found}


def medicalnet_with_random_weights() -> torch.nn.Module:
    """MONAI's network in the layout of MedicalNet's ResNet-10."""
    from monai.networks.nets import resnet10

    return resnet10(
        spatial_dims=3,
        n_input_channels=1,
        feed_forward=False,
        shortcut_type="B",
        bias_downsample=False,
    )


class Subject:
    """A published model with random weights, a latent's noise and a mask, on one device."""

    def __init__(
        self, family: str, device: torch.device, *, conditional: bool, small: bool
    ) -> None:
        self.device = device
        self.family = GENERATORS.load(family).family
        recipe = micro_recipe(family) if small else read_recipe(PRESETS[family])
        shape = (1, 32, 64, 64) if small else recipe.data.shape
        assert shape is not None
        config = parse(self.family.config, recipe.model, "model")
        masks = (6 if family == "medlord" else 1) if conditional else 0
        with torch.device(device):
            self.model = self.family.build(self.family.fitted(config, shape, masks, 0)).eval()
        self.model.to(device).requires_grad_(requires_grad=False)
        with torch.no_grad():
            for parameter in self.model.parameters():  # zeros would cost less power than weights do
                parameter.normal_(0, 0.02)
        factor = self.model.stage1.factor
        x, y, z = (n // f for n, f in zip(shape[:0:-1], factor, strict=True))
        self.noise = torch.randn(1, config.denoiser.in_channels, x, y, z, device=device)
        self.mask = torch.ones(1, masks, *shape[:0:-1], device=device) if conditional else None

    def reference_step(self) -> torch.Tensor:
        """One step of the official loop: the mask's convolutions and all modulations again."""
        times = torch.full((1,), 7, device=self.device)
        return self.model.denoise(self.noise, times, condition=self.mask)

    def sample(self, steps: int, batch: int = 1) -> torch.Tensor:
        """As ``voxaudit sample`` does it."""
        mask = self.mask.expand(batch, *self.mask.shape[1:]) if self.mask is not None else None
        noise = self.noise.expand(batch, *self.noise.shape[1:]).contiguous()
        rng = [torch.Generator().manual_seed(i) for i in range(batch)]
        return self.model.sample_latent(noise, steps=steps, sampler="ddpm", condition=mask, rng=rng)


def full_size(subject: Subject) -> dict[str, Any]:
    """Seconds per volume and peaks, of the reference loop and of ours."""
    found: dict[str, Any] = {"weights_gb": weights_gb(subject.model)}
    found["reference"] = reference(subject)
    found["ours"] = ours(subject)
    found["peak_gb"] = peaks(subject)
    found[f"fits a card of {CARD_GB:g} GB"] = fits(subject)
    return found


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Volumes per hour over those of the reference loop, for all that was measured so far."""
    made: dict[str, float] = {}
    for family, kind in product(PRESETS, ("conditional", "unconditional")):
        theirs = found.get(f"full size: {family} {kind}", {}).get("reference", {}).get("ddpm 300")
        if theirs is None:
            continue
        rows = {f"{family} {kind}": found[f"full size: {family} {kind}"]["ours"]}
        if kind == "unconditional":
            rows |= {f"{family} {v}": found.get(f"{family} {v}", {}) for v in VARIANTS}
        for name, sampler in product(rows, ("ddpm 300", "dpm-solver++ 30")):
            if sampler in rows[name]:
                made[f"{name}, {sampler}"] = round(theirs / rows[name][sampler], 2)
    return made


def reference(subject: Subject) -> dict[str, float]:
    """The official loop: autocast, everything at every step, the latent decoded in one piece."""
    model = subject.model
    model.memory_gb = None
    with autocast(model, "bf16"):
        step = seconds(subject.reference_step, subject.device)
    release(subject.device)
    with autocast(model, "bf16"):
        decoding = seconds(lambda: model.decode(subject.noise), subject.device, repeats=1)
    return {"step": step, "decoding": decoding, "ddpm 300": STEPS * step + decoding}


def ours(subject: Subject, batch: int = 1) -> dict[str, float]:
    """Our loop as ``voxaudit sample`` runs it: once-per-sample work apart from the steps."""
    model, more = subject.model, 6
    model.memory_gb = CARD_GB
    with autocast(model, "bf16"):
        one = seconds(lambda: subject.sample(1, batch), subject.device)
        many = seconds(lambda: subject.sample(1 + more, batch), subject.device)
    step = (many - one) / more
    with autocast(model, "bf16"):
        decoding = seconds(lambda: model.decode(subject.noise), subject.device, repeats=1)
    once = max(one - step, 0.0)
    found = {"once": once, "step": step, "decoding": decoding}
    for name, steps in (("ddpm 300", STEPS), ("dpm-solver++ 30", 30)):
        found[name] = (once + steps * step) / batch + decoding
    return found


def variant(subject: Subject, name: str) -> dict[str, float]:
    """Ours without a condition, with what else may help at equal steps; see ``VARIANTS``."""
    start = time.monotonic()
    if "channels last" in name:
        subject.model.to(memory_format=torch.channels_last_3d)
    if "compiled" in name:
        compile_denoiser(subject.model.denoiser)
    found = ours(subject, batch=4 if "batch 4" in name else 1)
    return found | {"with warming up": time.monotonic() - start}


def peaks(subject: Subject) -> dict[str, float] | str:
    """Most bytes that torch's allocator held, in GB (1e9): mask and steps, then decoding."""
    if subject.device.type != "cuda":
        return "only on a GPU"
    found = {}
    for name, call in phases(subject).items():
        release(subject.device)
        torch.cuda.reset_peak_memory_stats()
        with autocast(subject.model, "bf16"):
            call()
        torch.cuda.synchronize()
        found[f"{name}, allocated"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        found[f"{name}, reserved"] = round(torch.cuda.max_memory_reserved() / 1e9, 2)
    return found


def fits(subject: Subject) -> bool | str:
    """Whether sampling and decoding run where the allocator gets no more than a small card has."""
    if subject.device.type != "cuda":
        return "only on a GPU"
    release(subject.device)
    total = torch.cuda.get_device_properties(subject.device).total_memory
    torch.cuda.set_per_process_memory_fraction(CARD_GB * 1e9 / total)
    try:
        for call in phases(subject).values():
            with autocast(subject.model, "bf16"):
                call()
    except torch.cuda.OutOfMemoryError as error:
        return f"no: {error}"[:200]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return True


def phases(subject: Subject) -> dict[str, Callable[[], Any]]:
    """Sampling and decoding under the limit, as ``voxaudit sample --memory-gb 8`` runs them."""
    subject.model.memory_gb = CARD_GB
    return {
        "sampling": lambda: subject.sample(3),
        "decoding": lambda: subject.model.decode(subject.noise),
    }


def seconds(call: Callable[[], Any], device: torch.device, repeats: int = 3) -> float:
    """Mean time of a call after two that warm up."""
    for _ in range(2):
        call()
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(repeats):
        call()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / 1000 / repeats


def weights_gb(model: torch.nn.Module) -> float:
    """Parameters in GB (1e9 bytes), as they are stored."""
    return round(sum(p.numel() * p.element_size() for p in model.parameters()) / 1e9, 2)


def release(device: torch.device) -> None:
    """Give back what the allocator keeps."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def machine(device: torch.device) -> dict[str, str]:
    """Where it was measured."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {"device": name, "torch": torch.__version__, "date": time.strftime("%Y-%m-%d")}


def write(folder: Path, found: dict[str, Any]) -> None:
    """``gpu.json``, and the tables of ``gpu.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(found, indent=1))
    lines = [f"{found['machine']['device']}, torch {found['machine']['torch']}.", ""]
    for name, values in found.items():
        if isinstance(values, dict) and name != "machine":
            lines += [f"### {name}", "", "| | |", "|---|---|", *rows(values), ""]
    (folder / "gpu.md").write_text("\n".join(lines))


def rows(values: dict[str, Any], prefix: str = "") -> list[str]:
    """Nested figures as rows of a table; times in seconds."""
    lines: list[str] = []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += rows(value, f"{prefix}{name}: ")
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            lines.append(f"| {prefix}{name} | {shown} |")
    return lines


if __name__ == "__main__":
    main()
