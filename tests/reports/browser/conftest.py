"""A page in each engine; tests are skipped, with the reason, where one is absent.

Chromium runs by default; Firefox and WebKit are ``slow``: each starts three times, on a display.
"""

import contextlib
import importlib.util
from pathlib import Path

import pytest

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("firefox", "webkit")]


def _drivers():
    spec = importlib.util.spec_from_file_location("drivers", Path(__file__).with_name("drivers.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["chromium", *SLOW])
def page(request, tmp_path_factory):
    """A tab of a running browser."""
    with contextlib.ExitStack() as ended:
        folder = tmp_path_factory.mktemp(request.param)
        yield _drivers().ENGINES[request.param](folder, ended.callback)
