"""The command ``voxaudit``: mounts the commands of the three packages."""

import sys

import typer

from audit.cli import guarded, mount


def build_app() -> typer.Typer:
    """All commands in one Typer application."""
    app = typer.Typer(
        name="voxaudit",
        help="Evaluate and audit generators of 3D and 4D medical images.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for package in ("audit.commands", "generators.commands", "reports.commands"):
        mount(app, package)
    return app


def main() -> None:
    """Entry point of the console script."""
    import click

    def command() -> int:
        try:
            outcome = build_app()(standalone_mode=False)
        except click.exceptions.Exit as exit_:
            return exit_.exit_code
        except click.ClickException as error:
            sys.stderr.write(f"voxaudit: {error.format_message()} See `voxaudit --help`.\n")
            return 2
        except click.Abort:
            return 130
        return outcome if isinstance(outcome, int) else 0

    sys.exit(guarded(command))


if __name__ == "__main__":
    main()
