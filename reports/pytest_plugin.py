"""Pytest plugin: with ``--voxaudit-run RUN`` every gate of a run becomes one test item.

The import is light, since pytest loads it in every project that has voxaudit installed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from audit.result import AuditResult, Verdict

PASSING = frozenset({"PASSED", "HELD", "IMPROVED", "SUSPECT"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("voxaudit")
    group.addoption("--voxaudit-run", default=None, help="Run folder whose gates are tested.")
    group.addoption("--voxaudit-gates", default=None, help="gates.yaml; packaged gates if absent.")
    group.addoption("--voxaudit-baseline", default=None, help="Accepted baseline to compare with.")


@pytest.fixture(scope="session")
def audit_run(request: pytest.FixtureRequest) -> "AuditResult":
    """The result of the run that ``--voxaudit-run`` names; skips where none is named."""
    from audit.result import load_result
    from audit.run_path import find_run

    folder = request.config.getoption("--voxaudit-run")
    if folder is None:
        pytest.skip("no --voxaudit-run given")
    return load_result(find_run(folder))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Append one item a gate; ``-k memorization`` selects among them as among tests."""
    folder = config.getoption("--voxaudit-run")
    if folder is not None:
        items.extend(_gate_items(session, Path(folder), config))


def assert_gate(run: "AuditResult | str | Path", metric: str, **kwargs: Any) -> None:
    """Fail unless every gate on a metric passes.

    Args:
        run: A result or a run folder.
        metric: Metric, with or without its variant.
        kwargs: As for ``audit.gate.judge``: ``gates`` and ``baseline``.

    Raises:
        AssertionError: A gate on it does not pass, or none judges it.
    """
    from audit.gate import judge, matches
    from audit.result import load_result

    result = load_result(run) if isinstance(run, str | Path) else run
    verdicts = [v for v in judge(result, **kwargs).verdicts if matches(metric, v.metric)]
    assert verdicts, f"no gate judges {metric}"
    bad = [v for v in verdicts if v.verdict not in PASSING]
    assert not bad, "; ".join(f"{v.metric} {v.verdict}: {v.message}" for v in bad)


class GateFailedError(Exception):
    """A gate did not pass; its text is the verdict's message."""


class GateItem(pytest.Item):
    """One gate as a test."""

    verdict: "Verdict"

    def runtest(self) -> None:
        """Pass, fail or skip as the verdict says; never pass what could not be decided."""
        verdict = self.verdict
        if verdict.verdict in PASSING:
            return
        if verdict.severity == "warn":
            pytest.skip(f"advisory {verdict.verdict}: {verdict.message}")
        raise GateFailedError(f"{verdict.verdict} {verdict.metric}: {verdict.message}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """The sentence of the verdict, without a traceback."""
        if isinstance(excinfo.value, GateFailedError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[str, int | None, str]:
        """Where the item comes from, for pytest's own report."""
        return "gates", None, self.name


def _gate_items(session: pytest.Session, folder: Path, config: pytest.Config) -> list[GateItem]:
    from audit.baseline import read_baseline
    from audit.errors import AuditError
    from audit.gate import judge
    from audit.gates.gates_file import read_gates
    from audit.gates.replicates import replicates_of
    from audit.result import load_result
    from audit.run_path import find_run

    baseline = config.getoption("--voxaudit-baseline")
    try:
        run = find_run(folder)
        decision = judge(
            load_result(run),
            replicates=replicates_of(run),
            gates=read_gates(config.getoption("--voxaudit-gates")),
            baseline=read_baseline(baseline) if baseline else None,
        )
    except AuditError as error:
        raise pytest.UsageError(str(error)) from error
    items = []
    for verdict in decision.verdicts:
        name = f"{verdict.metric}:{verdict.gate}"
        item = GateItem.from_parent(session, name=name, nodeid=f"gates::{name}")
        item.verdict = verdict
        items.append(item)
    return items
