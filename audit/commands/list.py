"""``voxaudit list metrics|generators|extractors``."""

import typer

from audit.cli import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    @app.command("list")
    def list_command(
        kind: str = typer.Argument(..., help="metrics, generators or extractors"),
        explain: str = typer.Option(None, help="Print what one of them means and when it lies."),
        as_json: bool = JsonFlag,
    ) -> None:
        """List what can be run."""
        from audit.errors import BadInput, did_you_mean

        rows = {
            "metrics": _metrics,
            "extractors": _extractors,
            "generators": _generators,
        }
        if kind not in rows:
            raise BadInput(f"nothing to list called '{kind}'", did_you_mean(kind, rows))
        if explain:
            print(_explain(kind, explain))
            return
        found = rows[kind]()
        if as_json:
            print_json(found)
        else:
            print_table(found, list(found[0]) if found else [])


def _metrics() -> list[dict[str, object]]:
    from audit.metric import METRICS

    rows = []
    for name in METRICS.names():
        metric = METRICS.load(name)
        rows.append(
            {
                "metric": name,
                "better": metric.better,
                "unit": metric.unit,
                "default": "yes" if metric.default else "on request",
                "needs": ", ".join(metric.needs),
                "detects": ", ".join(metric.detects),
                "source": metric.source,
            }
        )
    return rows


def _extractors() -> list[dict[str, object]]:
    from audit.extractor import EXTRACTORS

    return [
        {
            "extractor": name,
            "default": "yes" if (entry := EXTRACTORS.load(name)).default else "on request",
            "features": entry.dim or "",
            "source": entry.source,
        }
        for name in EXTRACTORS.names()
    ]


def _generators() -> list[dict[str, object]]:
    from audit.registry import Registry

    names = Registry("generators.models", "MODEL").names()
    return [
        {"generator": name, "about": _first_line(f"generators.models.{name}")} for name in names
    ]


def _explain(kind: str, name: str) -> str:
    from importlib import import_module
    from inspect import cleandoc

    from audit.registry import Registry

    registry = {
        "metrics": Registry("audit.metrics", "METRIC"),
        "extractors": Registry("audit.extractors", "EXTRACTOR"),
        "generators": Registry("generators.models", "MODEL"),
    }[kind]
    entry = registry.load(name)
    text = cleandoc(import_module(f"{registry.package}.{name}").__doc__ or "")
    if kind != "metrics":
        return text
    return (
        f"{name}\n\n{text}\n\nbetter: {entry.better}   unit: {entry.unit or 'none'}   "
        f"detects: {', '.join(entry.detects) or 'nothing declared'}\nsource: {entry.source}"
    )


def _first_line(module: str) -> str:
    from importlib import import_module

    return (import_module(module).__doc__ or "").strip().splitlines()[0]
