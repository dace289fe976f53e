"""Small inline drawings of a value, its interval and what it is read against; plain SVG."""

from collections.abc import Sequence

from audit.result import Finding, Verdict

WIDTH, HEIGHT, PAD = 180, 22, 6


def finding_bar(finding: Finding) -> str:
    """Interval as a line, value as a dot, the real-against-real range as a band."""
    if finding.value is None:
        return ""
    x = _Map(*scale_of(finding))
    floor = finding.reference.get("real_vs_real")
    low = finding.reference.get("real_vs_real_low")
    high = finding.reference.get("real_vs_real_high")
    parts = []
    if low is not None and high is not None:
        parts.append(_band(x(low), x(high), "floor-band"))
    ceiling = finding.reference.get("ceiling")
    if floor is not None and floor != ceiling:
        parts.append(_tick(x(floor), "floor-tick"))
    if ceiling is not None:
        parts.append(_tick(x(ceiling), "ceiling-tick"))
    parts.append(_whisker(x, finding.value, finding.low, finding.high))
    return _svg(parts, "value, interval and real-against-real range")


def scale_of(f: Finding) -> tuple[float, float]:
    """Axis of one finding; two feature networks never share one."""
    names = ("real_vs_real", "real_vs_real_low", "real_vs_real_high", "ceiling")
    numbers = [f.value, f.low, f.high, *(f.reference.get(name) for name in names)]
    return _padded([v for v in numbers if v is not None])


def verdict_bar(verdict: Verdict) -> str:
    """Interval against the forbidden side of the threshold; the baseline as a dotted tick."""
    if verdict.value is None or verdict.threshold is None:
        return ""
    worse_above = _worse_above(verdict)
    numbers = [verdict.value, verdict.low, verdict.high, verdict.threshold, verdict.baseline]
    scale = _padded([v for v in numbers if v is not None])
    x = _Map(*scale)
    edge = x(verdict.threshold)
    forbidden = (edge, WIDTH) if worse_above else (0, edge)
    parts = [_band(forbidden[0], forbidden[1], "forbidden"), _tick(edge, "limit-tick")]
    if verdict.baseline is not None:
        parts.append(_tick(x(verdict.baseline), "baseline-tick"))
    parts.append(_whisker(x, verdict.value, verdict.low, verdict.high))
    return _svg(parts, "value and interval against the limit")


def _worse_above(verdict: Verdict) -> bool:
    if verdict.baseline is not None and verdict.threshold is not None:
        return verdict.threshold > verdict.baseline
    return "≥" not in verdict.gate


def _padded(numbers: Sequence[float]) -> tuple[float, float]:
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    span = (high - low) or abs(high) or 1.0
    return low - 0.12 * span, high + 0.12 * span


class _Map:
    """Value to horizontal position."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return PAD + min(max(share, 0.0), 1.0) * (WIDTH - 2 * PAD)


def _whisker(x: _Map, value: float, low: float | None, high: float | None) -> str:
    mid = HEIGHT / 2
    dot = f'<circle cx="{x(value):.1f}" cy="{mid}" r="4" class="dot"/>'
    if low is None or high is None:
        return dot
    a, b = x(low), x(high)
    line = f'<path d="M{a:.1f} {mid}H{b:.1f}M{a:.1f} {mid - 4}v8M{b:.1f} {mid - 4}v8"'
    return f'{line} class="whisker"/>{dot}'


def _band(a: float, b: float, kind: str) -> str:
    width = max(b - a, 1.5)
    return f'<rect x="{a:.1f}" y="2" width="{width:.1f}" height="{HEIGHT - 4}" class="{kind}"/>'


def _tick(at: float, kind: str) -> str:
    return f'<path d="M{at:.1f} 1V{HEIGHT - 1}" class="{kind}"/>'


def _svg(parts: Sequence[str], label: str) -> str:
    return (
        f'<svg class="bar" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )
