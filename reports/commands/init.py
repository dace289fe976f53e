"""``voxaudit init``: audit.yaml, gates.yaml and a workflow that work as they are."""

from importlib import resources
from pathlib import Path

import typer

from audit.errors import BadInput

FILES = {
    "audit.yaml": "audit.yaml",
    "gates.yaml": "gates.yaml",
    "workflow.yml": ".github/workflows/audit.yml",
    "baselines.md": "baselines/README.md",
}


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("init")(init)


def init(
    folder: Path = typer.Argument(Path(), help="Where to write; nothing is overwritten."),
) -> None:
    """Write a configuration, gates and a GitHub workflow to start from."""
    from reports.install_line import install_line, workflow_note

    taken = [target for target in FILES.values() if (folder / target).exists()]
    if taken:
        raise BadInput(f"{', '.join(taken)} exists", "a folder without them", "Move it away first")
    folder.mkdir(parents=True, exist_ok=True)
    install = install_line(folder)
    for source, target in FILES.items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        template = resources.files("reports") / "templates" / "init" / source
        text = template.read_text(encoding="utf-8").replace("@INSTALL@", install.line)
        path.write_text(text, encoding="utf-8")
        print(path)
    for note in (*install.notes, *workflow_note(folder)):
        print(f"Note: {note}")
    print("Next: voxaudit run -c audit.yaml --profile smoke")
