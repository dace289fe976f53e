"""The demo: both phantom populations through the whole suite, with two controls beside them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit.cli import print_table
from voxaudit.run import run_all

if TYPE_CHECKING:
    from audit.config import Config
    from audit.result import AuditResult

DEMO_N = 24


def run_demo(out: Path) -> int:
    """Train, sample and audit on both phantom populations, and put the audit itself to the test.

    Beside the trained generator stand ``replay``, which returns its training set and must fail,
    and ``honest``, fresh phantoms that copy nothing and must pass.

    Returns:
        0 if both controls came out as they must, else 4.
    """
    from audit.config import validate
    from audit.gate import judge, record
    from audit.result import load_result
    from reports.html import write_report

    rows, right = [], True
    for kind in ("thorax", "heart"):
        config = validate(_demo_config(kind, out))
        _write_honest(config)
        for folder in run_all(config, report=False):
            result = load_result(folder)
            decision = judge(result)
            record(decision, result, folder)
            write_report(folder)
            copies = _copy_rate(result)
            rows.append({"run": str(folder), "copy rate": copies, "gate": decision.headline})
            wanted = {"replay": 1, "honest": 0}.get(folder.name)
            right &= wanted is None or decision.exit_code == wanted
    print()
    print_table(rows, ["run", "copy rate", "gate"])
    shown = out / "thorax" / "ldm"
    print(
        "\nreplay returns its training set and must fail; honest copies nothing and must pass: "
        + ("so it is." if right else "NOT SO. Please report this.")
    )
    print(
        f"\nOpen the report:  {(shown / 'report.html').resolve()}\n\nNext:\n"
        f"  voxaudit gate {shown}\n"
        f"  voxaudit footprint {shown} --zone DEU\n"
        f"  voxaudit compare {out / 'heart' / 'ldm'} {out / 'heart' / 'replay'}\n"
        "  voxaudit init            # an audit of your own: audit.yaml, gates.yaml, a workflow"
    )
    return 0 if right else 4


def _demo_config(kind: str, out: Path) -> dict[str, Any]:
    honest = str((out / kind / "data" / "honest").resolve())
    controls = ["memorization.copy_rate", "fidelity.kernel_distance", "diversity.recall"]
    preset = "ldm-demo" if kind == "thorax" else "ldm-demo-heart"
    generators: list[dict[str, Any]] = [
        {
            "id": "ldm",
            "kind": "ldm",
            "preset": preset,
            "n": DEMO_N,
            "conditional": kind == "thorax",
        },
        {"id": "replay", "kind": "replay", "n": DEMO_N, "only": controls},
        {"id": "honest", "kind": "folder", "path": honest, "only": controls},
    ]
    return {
        "name": kind,
        "out": str(out / kind),
        "data": {"phantom": {"kind": kind, "train": 32, "holdout": DEMO_N}},
        "generators": generators,
        "metrics": {"options": {"encoder_seeds": 1, "segmenter_steps": 120}},
        "carbon": {"zone": "DEU"},
    }


def _write_honest(config: "Config") -> None:
    from audit.cohort import write_cohort
    from audit.phantoms import heart_cohort, thorax_cohort

    phantom = config.data.phantom
    assert phantom is not None
    folder = config.folder / "data" / "honest"
    if not (folder / "cohort.csv").is_file():
        make = thorax_cohort if phantom.kind == "thorax" else heart_cohort
        write_cohort(make(DEMO_N, role="synthetic", seed=1000, size=phantom.size), folder)


def _copy_rate(result: "AuditResult") -> str:
    try:
        finding = result["memorization.copy_rate"]
    except KeyError:
        return "–"
    if finding.value is None or finding.low is None or finding.high is None:
        return "not computable"
    return f"{finding.value:.2f} [{finding.low:.2f}, {finding.high:.2f}]"
