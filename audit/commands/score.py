"""``voxaudit score``: audit a folder of synthetic volumes, no generator needed."""

from pathlib import Path
from typing import Any

import typer

from audit.cli import JsonFlag, print_json, print_table

COLUMNS = ["metric", "value", "low", "high", "floor", "unit", "n", "status"]


def register(app: typer.Typer) -> None:
    @app.command("score")
    def score_command(
        train: Path = typer.Option(..., help="Real volumes the generator learned from."),
        holdout: Path = typer.Option(..., help="Real volumes of other subjects."),
        synthetic: Path = typer.Option(..., help="Synthetic volumes."),
        conditions: Path = typer.Option(
            None, help="Masks that the synthetic cases were to follow."
        ),
        out: Path = typer.Option(Path("runs/score"), help="Run folder."),
        only: list[str] = typer.Option([], help="Glob of metrics, such as 'fidelity.*'; repeat."),
        extractor: list[str] = typer.Option([], help="Feature network; repeat for several."),
        weights: list[str] = typer.Option([], help="NAME=FILE: weights of an extractor."),
        labels: list[str] = typer.Option([], help="NAME=CODE of a structure; repeat."),
        segmenter: str = typer.Option("auto", help="auto, built-in, or a network's file."),
        seed: int = typer.Option(0, help="Seed of everything random."),
        device: str = typer.Option(None, help="cpu or cuda; default: the GPU where there is one."),
        skip_unusable: bool = typer.Option(
            False, "--skip-unusable", help="Leave out files that cannot be used, and say so."
        ),
        name: str = typer.Option("", help="What is audited, for the report."),
        checkpoints: Path = typer.Option(
            None, help="Folder of samples by training step (step-000500, ...): adds curve.csv."
        ),
        as_json: bool = JsonFlag,
    ) -> None:
        """Measure fidelity, diversity, adherence, function, memorization and cost."""
        from audit.ledger import open_ledger
        from audit.over_training import sampled_moments, score_moments
        from audit.scoring import score

        if checkpoints is not None:
            sampled_moments(checkpoints)  # refused now, not after the audit
        settings: dict[str, Any] = {
            "train": train,
            "holdout": holdout,
            "conditions": conditions,
            "seed": seed,
            "name": name or synthetic.name,
            "extractors": extractor or None,
            "weights": _weight_files(weights),
            "options": {"segmenter": segmenter},
            "device": device,
            "skip_unusable": skip_unusable,
            "labels": _codes(labels),
        }
        with open_ledger(out) as ledger:
            result = score(synthetic=synthetic, only=only, out=out, ledger=ledger, **settings)
        if checkpoints is not None:
            score_moments(checkpoints, out=out, **settings)
        rows = [
            {**f.model_dump(), "floor": f.reference.get("real_vs_real")} for f in result.findings
        ]
        if as_json:
            print_json(result.model_dump())
        else:
            print_table(rows, COLUMNS)
            print(f"\nNext: voxaudit report {out}    voxaudit gate {out}")


def _weight_files(pairs: list[str]) -> dict[str, Path]:
    from audit.errors import BadInput

    files = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not Path(path).is_file():
            raise BadInput(f"--weights got '{pair}'", "NAME=FILE with an existing file")
        files[name] = Path(path)
    return files


def _codes(pairs: list[str]) -> dict[str, int] | None:
    from audit.errors import BadInput

    codes = {}
    for pair in pairs:
        name, _, code = pair.partition("=")
        if not name or not code.isdigit():
            raise BadInput(f"--labels got '{pair}'", "NAME=CODE such as lv=3")
        codes[name] = int(code)
    return codes or None
