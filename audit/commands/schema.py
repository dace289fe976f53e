"""``voxaudit schema config|gates|baseline|result``: JSON Schemas for editors and programs."""

from typing import Any

import typer

from audit.cli import print_json


def register(app: typer.Typer) -> None:
    @app.command("schema")
    def schema_command(
        kind: str = typer.Argument("config", help="config, gates, baseline or result"),
    ) -> None:
        """Print a JSON Schema."""
        from audit.baseline import Baseline
        from audit.config import Config
        from audit.errors import BadInput, did_you_mean
        from audit.gates.gates_file import GatesFile
        from audit.result import AuditResult

        models: dict[str, Any] = {
            "config": Config,
            "gates": GatesFile,
            "baseline": Baseline,
            "result": AuditResult,
        }
        if kind not in models:
            raise BadInput(f"no schema '{kind}'", did_you_mean(kind, models))
        print_json(models[kind].model_json_schema())
