"""CO₂ and cost: where the energy went, phase by phase."""

from collections.abc import Iterator

from audit.result import PhaseRecord
from reports.drawings.series import series_pictures
from reports.figure import (
    ACCENT,
    FLOOR,
    HOLDOUT,
    INK,
    LINE,
    MUTED,
    SYNTHETIC,
    TRAIN,
    Picture,
    canvas,
    legend,
    picture,
)
from reports.material import Material
from reports.words import number

COMPONENTS = (("gpu", SYNTHETIC), ("cpu", HOLDOUT), ("ram", FLOOR), ("other", ACCENT))


def draw(material: Material) -> Iterator[Picture]:
    """Energy and time by phase."""
    phases = [p for p in material.result.ledger if p.duration_s > 0]
    if phases:
        yield _bars(phases)
    yield from series_pictures(material.findings("footprint"))


def _bars(phases: list[PhaseRecord]) -> Picture:
    metered = any(v for p in phases for v in p.energy_kwh.values())
    figure, (ax,) = canvas(height_in=0.3 * len(phases) + 1.2)
    names = [p.phase for p in phases]
    left = [0.0] * len(phases)
    keys = [k for k, _ in COMPONENTS if any(p.energy_kwh.get(k) for p in phases)]
    colors = dict(COMPONENTS)
    for key in keys if metered else []:
        widths = [1000 * (p.energy_kwh.get(key) or 0.0) for p in phases]
        ax.barh(names, widths, left=left, color=colors[key], label=key.upper(), height=0.62)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    if not metered:
        left = [p.duration_s for p in phases]
        ax.barh(names, left, color=TRAIN, height=0.62)
    for i, (end, phase) in enumerate(zip(left, phases, strict=True)):
        text = number(end) if metered else f"{number(phase.duration_s)} s"
        ax.annotate(text, (end, i), xytext=(3, 0), textcoords="offset points", va="center",
                    fontsize=7.5, color=MUTED)  # fmt: skip
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0, colors=INK)
    ax.margins(x=0.14)
    ax.grid(axis="x", color=LINE, linewidth=0.5)
    ax.set_xlabel("energy (Wh)" if metered else "time (s); no energy was metered")
    legend(ax, loc="lower right")
    return picture(
        figure,
        key="energy-by-phase",
        title="Energy by phase" if metered else "Time by phase",
        look_for="Training counts once, sampling for every volume: the longer bar is where saving "
        "pays.",
        n=f"{len(phases)} phases",
        data={
            "phase": names,
            "duration_s": [p.duration_s for p in phases],
            **{f"{k}_kwh": [p.energy_kwh.get(k) for p in phases] for k in keys},
        },
    )
