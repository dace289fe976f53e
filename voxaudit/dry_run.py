"""The dry run: what a run would do, cost and be able to decide, before anything is spent."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from voxaudit.samples import DEFAULT_N, folder_cohort

if TYPE_CHECKING:
    from audit.config import Config, GeneratorSpec


def plan(config: "Config") -> list[dict[str, Any]]:
    """What a run would do and, where this machine has done it before, what that took.

    Raises:
        BadInput: A generator, preset or grid zone does not exist.
    """
    from audit.carbon import emissions_g, find_intensity
    from audit.throughput import predict
    from generators.choose import choose

    grid = find_intensity(config.carbon.zone) if config.carbon.zone else None
    rows = []
    for spec in config.generators:
        if spec.path is None:
            choose(spec.kind, preset=spec.preset, params=spec.params)
        n = spec.n or DEFAULT_N
        steps = ["train"] if spec.path is None else []
        steps += ["sample"] if spec.kind != "folder" else []
        seeds = 1 if spec.kind == "folder" else config.replicates
        for step in (*steps, "score", "report"):
            row = predict(spec.kind, spec.preset, step, n * seeds)
            kwh = row["energy_kwh"]
            row["emissions_g"] = None
            if grid is not None and kwh is not None:
                row["emissions_g"] = emissions_g(kwh, grid, pue=config.carbon.pue)
            rows.append(
                {
                    "generator": spec.id,
                    "step": step,
                    "work": _work(n, seeds) if step == "sample" else "",
                    "done": _is_done(config.folder / spec.id, step, n),
                    **row,
                }
            )
    return rows


def _work(n: int, seeds: int) -> str:
    return f"{n} volumes" if seeds == 1 else f"{n} volumes with each of {seeds} seeds"


def undecidable(config: "Config", gates: Path) -> list[str]:
    """What the gates beside a configuration cannot decide with its number of volumes."""
    from audit.gate import power_notes
    from audit.gates.gates_file import read_gates

    if not gates.is_file():
        return []
    file = read_gates(gates)
    return [
        f"{spec.id}: {note}"
        for spec in config.generators
        for note in power_notes(file, _volumes(spec))
    ]


def _volumes(spec: "GeneratorSpec") -> int:
    """Synthetic volumes that a run of this generator will judge."""
    if spec.n is None and spec.kind == "folder":
        return len(folder_cohort(spec))
    return spec.n or DEFAULT_N


def _is_done(folder: Path, step: str, n: int) -> str:
    made = len(list((folder / "synthetic").glob("*.nii.gz")))
    return {
        "train": "yes" if (folder / "model" / "generator.json").exists() else "no",
        "sample": f"{made}/{n}",
        "score": "yes" if (folder / "cases.csv").exists() else "no",
        "report": "yes" if (folder / "report.html").exists() else "no",
    }[step]
