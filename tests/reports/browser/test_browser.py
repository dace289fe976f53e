"""The page in a real browser, with no network: nothing fails, everything moves."""

import pytest

from reports.html import write_report

PIXELS = """(() => { const c = document.querySelector(%r);
 return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].join(); })()"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with real hearts shown, so that both kinds of cine are there."""
    import importlib.util
    from pathlib import Path

    file = Path(__file__).parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("report_fixtures", file)
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    return write_report(fixtures.make_run(tmp_path_factory.mktemp("browser")), images="all")


def test_it_loads_offline_without_error_or_request(page, report):
    page.open(report)
    page.wait("document.querySelector('#slices canvas').dataset.shown !== undefined")
    assert page.problems == []
    assert [u for u in page.requests if not u.startswith(("data:", "blob:", "file:"))] == []


def test_the_driver_hears_errors_and_requests(page, tmp_path):
    """An engine that reports nothing would pass every other test."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><img src='http://pictures.invalid/x.png'><script>console.error('said');"
        "setTimeout(() => { console.error('later'); window.over = true; }, 2000); null.thrown;"
        "</script>"
    )
    page.open(bad)
    page.wait("window.over === true")
    heard = str(page.problems)
    for word in ("said", "later", "null"):
        assert word in heard
    assert any("pictures.invalid" in asked for asked in page.requests)


def test_one_scrubber_moves_the_real_and_the_synthetic_cine(page, report):
    page.open(report)
    roles = page.eval("[...document.querySelectorAll('#cines .view p')].map(p => p.textContent)")
    assert any("synthetic" in r for r in roles)
    assert any("hold-out" in r for r in roles)
    shown = "[...document.querySelectorAll('#cines canvas')].map(c => c.dataset.shown).join()"
    page.wait(f"!{shown}.includes('undefined') && {shown}.split(',').every(v => v === '0')")
    before = page.eval(PIXELS % "#cines canvas")
    page.eval("(() => { const f = document.getElementById('frame'); f.value = 4;"
              " f.dispatchEvent(new Event('input')); })()")  # fmt: skip
    page.wait(f"{shown}.split(',').every(v => v === '4')")
    assert page.eval(PIXELS % "#cines canvas") != before


def test_play_and_the_keyboard_move_frames_and_slices(page, report):
    page.open(report)
    page.eval("document.getElementById('play').click()")
    page.wait("+document.getElementById('frame').value > 1")
    page.eval("document.getElementById('play').click()")
    start = page.eval("+document.querySelector('#slices input[type=range]').value")
    page.eval("document.querySelector('#slices canvas').dispatchEvent("
              "new KeyboardEvent('keydown', {key: 'ArrowUp', bubbles: true}))")  # fmt: skip
    page.wait(f"+document.querySelector('#slices input[type=range]').value === {start + 1}")


def test_labels_can_be_laid_over(page, report):
    page.open(report)
    canvas = "#slices canvas"
    page.wait(f"document.querySelector({canvas!r}).dataset.shown !== undefined")
    before = page.eval(PIXELS % canvas)
    page.eval("document.querySelector('.show-masks').click()")
    page.wait(f"({PIXELS % canvas}) !== {before!r}")


def test_the_volume_viewer_opens_on_request(page, report):
    page.open(report)
    assert page.eval("typeof window.niivue") == "undefined"
    page.eval("document.getElementById('open-niivue').click()")
    page.wait("document.getElementById('volume-viewer').dataset.open === 'true'")
    assert page.eval("document.querySelector('#volume-viewer canvas').clientHeight") > 300
    assert page.eval("document.getElementById('niivue-time').hidden") is False
    assert page.eval("+document.getElementById('niivue-frame').max") == 9
    page.eval("(() => { const f = document.getElementById('niivue-frame'); f.value = 5;"
              " f.dispatchEvent(new Event('input')); })()")  # fmt: skip
    assert page.problems == []


def test_it_reads_without_scripts(page, report):
    page.open(report, script=False)
    visible = "[...document.querySelectorAll({!r})].filter(e => e.offsetParent !== null).length"
    # Evaluate is the debugger's own; the page's scripts did not run.
    assert page.eval("document.documentElement.classList.contains('js')") is False
    assert page.eval(visible.format(".without-js")) > 0
    assert page.eval(visible.format(".needs-js")) == 0


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_sticks_out_at_desktop_and_phone_width(page, report, tmp_path, width, height, dark):
    page.open(report, width=max(width, page.narrowest), height=height, dark=dark)
    assert page.eval("window.innerWidth") == max(width, page.narrowest)
    assert page.eval("document.documentElement.scrollWidth") <= max(width, page.narrowest)
    assert page.eval("matchMedia('(prefers-color-scheme: dark)').matches") is dark
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
