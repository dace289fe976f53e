"""``voxaudit convert``: to and from the official repositories' files."""

from pathlib import Path
from typing import Any

import typer

from audit.cli import JsonFlag, print_json
from audit.errors import BadInput

FILES = tuple(
    f"{part}_{kind}"
    for part in ("stage1", "denoiser", "adapter")
    for kind in ("config", "checkpoint")
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(convert)


def convert(
    folder: Path | None = typer.Argument(None, help="Trained generator to export."),
    out: Path = typer.Option(..., "--out", help="Folder to write."),
    family: str | None = typer.Option(None, "--from", help="Import: voldit, cardiodit, medlord."),
    stage1_config: Path | None = typer.Option(None, "--stage1-config"),
    stage1_checkpoint: Path | None = typer.Option(None, "--stage1-checkpoint"),
    denoiser_config: Path | None = typer.Option(None, "--denoiser-config"),
    denoiser_checkpoint: Path | None = typer.Option(None, "--denoiser-checkpoint"),
    adapter_config: Path | None = typer.Option(None, "--adapter-config"),
    adapter_checkpoint: Path | None = typer.Option(None, "--adapter-checkpoint"),
    shape: str | None = typer.Option(None, "--shape", help="Import: grid t,z,y,x."),
    spacing_mm: str | None = typer.Option(None, "--spacing-mm", help="Import: z,y,x."),
    frame_ms: float | None = typer.Option(None, "--frame-ms", help="Import: frame period."),
    structures: str = typer.Option("", "--structures", help="Import: mask channels, by comma."),
    scale_factor: float | None = typer.Option(None, "--scale-factor", help="Import: of latents."),
    as_json: bool = JsonFlag,
) -> None:
    """Export a trained generator as official YAML and .pth files, or import such files.

    Export: voxaudit convert GENERATOR --out FOLDER. Import: voxaudit convert --from voldit
    --stage1-config A.yaml --stage1-checkpoint A.pth --denoiser-config B.yaml
    --denoiser-checkpoint B.pth --out FOLDER.
    """
    from generators.convert import export_official

    if (folder is None) == (family is None):
        raise BadInput(
            "neither or both of a generator folder and --from",
            "a folder to export, or --from FAMILY to import",
        )
    if folder is not None:
        written = [str(path) for path in export_official(folder, out)]
    else:
        given = [stage1_config, stage1_checkpoint, denoiser_config, denoiser_checkpoint]
        files = dict(zip(FILES, [*given, adapter_config, adapter_checkpoint], strict=True))
        grid = (_numbers(shape, 4, "--shape"), _numbers(spacing_mm, 3, "--spacing-mm"), frame_ms)
        _import(str(family), files, out, grid, structures, scale_factor)
        written = [str(out)]
    if as_json:
        print_json({"written": written})
    else:
        print("\n".join(written))


def _import(
    family: str,
    files: dict[str, Path | None],
    out: Path,
    grid: tuple[Any, Any, float | None],
    structures: str,
    scale_factor: float | None,
) -> None:
    from generators.convert import import_official

    missing = [k for k, v in files.items() if v is None and not k.startswith("adapter")]
    if missing:
        told = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise BadInput(f"an import without {told}", "all four files of both stages")
    shape, spacing_mm, frame_ms = grid
    import_official(
        family,
        {**files},
        out,
        shape=tuple(int(n) for n in shape) if shape else None,  # type: ignore[arg-type]
        spacing_mm=spacing_mm,
        frame_ms=frame_ms,
        structures=tuple(name for name in structures.split(",") if name),
        scale_factor=scale_factor,
    )


def _numbers(text: str | None, count: int, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or min(numbers) <= 0:
        raise BadInput(f"{option} '{text}'", f"{count} positive numbers, by comma")
    return numbers
