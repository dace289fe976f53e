"""A/A runs: the same generator, data and audit with other sampling seeds, as shell commands.

Their spread is what a number does when nothing changed. The audit's own seed stays: other weights
of an encoder or a segmenter would make another measuring device.
"""

import json
import shlex
from pathlib import Path
from typing import Any

from audit.config import Config, GeneratorSpec, read_config
from audit.errors import BadInput

FLAGS = ("steps", "sampler", "guidance", "batch_size", "memory_gb")


def aa_commands(config: Path, replicates: int, baseline: Path) -> list[str]:
    """Commands that make and read the A/A runs of every generator that can be sampled again.

    Args:
        config: An audit.yaml whose run is finished: its trained generators are sampled.
        replicates: Runs a generator.
        baseline: Baseline file to complete.

    Returns:
        Lines for a shell.

    Raises:
        BadInput: The configuration is not valid, or names only folders of volumes.
    """
    settings = read_config(config)
    specs = [spec for spec in settings.generators if spec.kind != "folder"]
    if not specs:
        raise BadInput(
            "the configuration names folders of volumes only",
            "a generator to sample again",
            "Sample it with ten other seeds, score each, and give the runs",
        )
    lines = []
    for spec in specs:
        lines.append(f"# {spec.id}: {replicates} A/A runs")
        for seed in range(settings.seed + 1, settings.seed + 1 + replicates):
            lines += [_sample(settings, spec, seed), _audit(config, settings, spec, seed)]
        runs = " ".join(
            _quote(_root(settings) / _name(spec, seed))
            for seed in range(settings.seed + 1, settings.seed + 1 + replicates)
        )
        lines.append(f"voxaudit baseline calibrate {runs} --file {_quote(baseline)}")
    return lines


def _sample(settings: Config, spec: GeneratorSpec, seed: int) -> str:
    unknown = sorted(set(spec.sampling) - set(FLAGS))
    if unknown:
        raise BadInput(
            f"sampling of '{spec.id}' sets {', '.join(unknown)}",
            f"what `voxaudit sample` takes: {', '.join(FLAGS)}",
        )
    trained = spec.path or settings.folder / spec.id / "model"
    words: list[Any] = ["voxaudit", "sample", trained, "--n", spec.n or 32, "--seed", seed]
    words += ["--out", _samples(settings, spec, seed)]
    if spec.conditional:
        words += ["--conditions", _conditions(settings)]
    for name, value in spec.sampling.items():
        words += [f"--{name.replace('_', '-')}", value]
    return " ".join(_quote(word) for word in words)


def _audit(config: Path, settings: Config, spec: GeneratorSpec, seed: int) -> str:
    generator = {
        "id": _name(spec, seed),
        "kind": "folder",
        "path": str(_samples(settings, spec, seed).resolve()),
        "conditional": spec.conditional,
        "only": list(spec.only),
    }
    words: list[Any] = ["voxaudit", "run", "-c", config, "--set", f"out={_root(settings)}"]
    words += ["--set", f"generators={json.dumps([generator])}"]
    return " ".join(_quote(word) for word in words)


def _conditions(settings: Config) -> str:
    if settings.data.conditions is not None:
        return settings.data.conditions
    if settings.data.holdout is not None:
        return settings.data.holdout
    return str(settings.folder / "data" / "holdout")


def _root(settings: Config) -> Path:
    """Where the A/A runs lie: beside the run itself."""
    return settings.folder.with_name(f"{settings.folder.name}-aa")


def _samples(settings: Config, spec: GeneratorSpec, seed: int) -> Path:
    return _root(settings) / "samples" / _name(spec, seed)


def _name(spec: GeneratorSpec, seed: int) -> str:
    return f"{spec.id}-{seed}"


def _quote(word: Any) -> str:
    return shlex.quote(str(word))
