"""``voxaudit gate``: judge a run; the exit code says what came out."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from audit.cli import JsonFlag, print_json, print_table
from audit.errors import BadInput

if TYPE_CHECKING:
    from audit.gate import Decision


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("gate")(gate)


def gate(
    run: Path = typer.Argument(help="Run folder, or runs/latest."),
    gates: Path | None = typer.Option(None, help="gates.yaml; packaged gates if absent."),
    baseline: Path | None = typer.Option(None, help="Accepted baseline; overrides gates.yaml."),
    replicate: list[Path] = typer.Option(
        [], help="The same audit with another seed; repeat. Else those that the run made."
    ),
    strict: bool = typer.Option(False, help="SUSPECT blocks too."),
    allow_no_decision: bool = typer.Option(False, help="Undecided gates exit 0."),
    junit: Path | None = typer.Option(None, help="Write JUnit XML."),
    md: Path | None = typer.Option(None, help="Append Markdown, such as $GITHUB_STEP_SUMMARY."),
    as_json: bool = JsonFlag,
) -> None:
    """Judge a run. Exits 0 passed, 1 failed, 2 bad input, 3 no decision, 4 run broken."""
    from audit.baseline import read_baseline
    from audit.gate import judge, record
    from audit.gates.gates_file import read_gates
    from audit.gates.replicates import replicates_of
    from audit.result import load_result, write_text
    from audit.run_path import find_run

    run = find_run(run)
    result = load_result(run)
    file = read_gates(gates)
    if baseline is None and file.baseline and gates is not None:
        named = gates.parent / _named(file.baseline, run)
        baseline = named if named.is_file() else None
    decision = judge(
        result,
        gates=file,
        baseline=read_baseline(baseline) if baseline else None,
        replicates=[load_result(find_run(r)) for r in replicate] or replicates_of(run),
        strict=strict,
        allow_no_decision=allow_no_decision,
    )
    judged = record(decision, result, run)
    if junit is not None:
        from reports.junit import render_junit

        write_text(junit, render_junit(judged, strict=strict))
    if md is not None:
        from reports.markdown import render_markdown

        with md.open("a", encoding="utf-8") as file_:
            file_.write(render_markdown(judged, headline=decision.headline))
    _say(decision, as_json=as_json)
    raise typer.Exit(decision.exit_code)


def _say(decision: "Decision", *, as_json: bool) -> None:
    rows = [v.model_dump() for v in decision.verdicts]
    if as_json:
        print_json({"exit_code": decision.exit_code, "headline": decision.headline,
                    "verdicts": rows, "notes": decision.notes})  # fmt: skip
        return
    print_table(rows, ["verdict", "severity", "metric", "gate", "message"])
    for note in decision.notes:
        print(note)
    print(decision.headline)


def _named(pattern: str, run: Path) -> str:
    """File of a run's baseline: ``baselines/{generator}.json``, where one file is not for all."""
    try:
        return pattern.format(generator=run.resolve().name)
    except (KeyError, IndexError, ValueError) as error:
        raise BadInput(
            f"gates.yaml names the baseline '{pattern}'", "no braces, or {generator}"
        ) from error
