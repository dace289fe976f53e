"""A page in each engine; tests are skipped, with the reason, where one is absent.

Chromium runs by default; Firefox and WebKit are ``slow``: each starts three times, on a display.
"""

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from chromium import Chromium
from firefox import Firefox
from webkit import WebKit

ENGINES = {"chromium": Chromium, "firefox": Firefox, "webkit": WebKit}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("firefox", "webkit")]


@pytest.fixture(scope="module", params=["chromium", *SLOW])
def page(request, tmp_path_factory):
    """A tab of a running browser."""
    with contextlib.ExitStack() as ended:
        folder = tmp_path_factory.mktemp(request.param)
        yield ENGINES[request.param](folder, ended.callback)
