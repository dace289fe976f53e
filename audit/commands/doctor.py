"""``voxaudit doctor``: is this machine ready, and what to do where it is not."""

from dataclasses import asdict

import typer

from audit.cli import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    @app.command("doctor")
    def doctor_command(as_json: bool = JsonFlag) -> None:
        """Check torch, GPU, faiss, optional packages, energy counters and disk."""
        from audit.doctor import examine

        rows = [asdict(check) for check in examine()]
        if as_json:
            print_json(rows)
        else:
            print_table(rows, ["status", "name", "message", "fix"])
        if any(row["status"] == "FAIL" for row in rows):
            raise typer.Exit(4)
