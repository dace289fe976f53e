"""``voxaudit data check``: what is in a folder or manifest, and what of it cannot be used."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from audit.cli import JsonFlag, print_json, print_table

if TYPE_CHECKING:
    from audit.data_check import CohortCheck, DataCheck

FACTS = (
    *("shapes", "spacings_mm", "frames_ms", "orientations", "dtypes"),
    *("intensity", "labels", "groups"),
)

SHOWN = 8
"""Values of a fact that the table shows, the most common first."""


def register(app: typer.Typer) -> None:
    data = typer.Typer(help="Look at volumes before an audit.", no_args_is_help=True)

    @data.command("check")
    def check_command(
        paths: list[str] = typer.Argument(..., help="Folders or CSV manifests.", metavar="PATH..."),
        labels: Path | None = typer.Option(None, help="JSON with the code of each structure."),
        skip_unusable: bool = typer.Option(
            False, "--skip-unusable", help="Do not fail on files that cannot be used."
        ),
        allow_outside: bool = typer.Option(
            False, "--allow-outside", help="Let a manifest point outside its folder."
        ),
        as_json: bool = JsonFlag,
    ) -> None:
        """Read every file: geometry, intensities, labels, duplicates, leakage, bad files."""
        from audit.data_check import check_data
        from audit.layouts.names import read_names_file

        found = check_data(
            paths,
            labels=read_names_file(labels) if labels else None,
            allow_outside=allow_outside,
            skip_unusable=skip_unusable,
        )
        if as_json:
            print_json(found.model_dump())
        else:
            _print(found)
        _refuse(found)

    app.add_typer(data, name="data")


def _print(found: "DataCheck") -> None:
    for cohort in found.cohorts:
        _print_cohort(cohort)
    for group in found.duplicates:
        print(f"same voxels: {', '.join(group)}")
    for pair, subjects in found.shared_subjects.items():
        print(f"shared subjects {pair}: {', '.join(subjects)}")
    if found.unusable:
        print(f"cannot be used{' (left out)' if found.skipped else ''}:")
        print_table([bad.model_dump() for bad in found.unusable], ["file", "reason"])


def _print_cohort(cohort: "CohortCheck") -> None:
    print(
        f"{cohort.name} ({cohort.layout}): {cohort.cases} cases, {cohort.usable} usable, "
        f"{cohort.subjects} subjects, {cohort.labeled} labeled"
    )
    for fact in FACTS:
        counts: dict[str, float] = getattr(cohort, fact)
        said = [_count(fact, key, value) for key, value in counts.items()]
        if len(said) > SHOWN:
            said = [*said[:SHOWN], f"and {len(said) - SHOWN} more (all with --json)"]
        if said:
            print(f"  {fact:<13}{', '.join(said)}")


def _count(fact: str, key: str, value: float) -> str:
    return f"{key} {value:g}" if fact == "intensity" else f"{key} ({value})"


def _refuse(found: "DataCheck") -> None:
    """End with one line and exit code 2 where the data would spoil an audit."""
    from audit.errors import BadInput

    n = sum(cohort.cases for cohort in found.cohorts)
    if found.shared_subjects:
        shared = {s for subjects in found.shared_subjects.values() for s in subjects}
        raise BadInput(
            f"{len(shared)} subjects are in several splits", "each in one", "Split by subject"
        )
    if found.unusable and not found.skipped:
        raise BadInput(
            f"{len(found.unusable)} of {n} cases cannot be used",
            "all of them",
            "Fix the listed files, or add --skip-unusable to use the rest",
        )
    if found.unusable and len(found.unusable) == n:
        raise BadInput(f"none of {n} cases can be used", "at least one")
