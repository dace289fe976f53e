import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.carbon import (
    Intensity,
    annual_intensities,
    break_even_volumes,
    emissions_g,
    equivalents,
    find_intensity,
    read_intensities,
    reproject,
)
from audit.errors import BadInput


def grid(g, basis="lifecycle"):
    return Intensity(g_per_kwh=g, zone="X", period="2023", basis=basis, source="test", sha256="0")


def test_the_shipped_table_says_what_it_said_when_this_was_written():
    table = annual_intensities()
    assert table["DEU"].g_per_kwh == pytest.approx(380.95, abs=0.01)
    assert table["FRA"].g_per_kwh == pytest.approx(56.0, abs=0.1)
    assert max(r.g_per_kwh for r in table.values()) / min(
        r.g_per_kwh for r in table.values()
    ) == pytest.approx(65.3, abs=0.1)


def test_grams_are_energy_times_pue_times_intensity():
    assert emissions_g(2.0, grid(400.0), pue=1.5) == 1200.0


@given(g=st.floats(0, 1e6), a=st.floats(1, 1000), b=st.floats(1, 1000), k=st.floats(0.1, 10))
def test_reprojection_is_linear_and_goes_back(g, a, b, k):
    there = reproject(g, old=grid(a), new=grid(b))
    assert reproject(there, old=grid(b), new=grid(a)) == pytest.approx(g, rel=1e-9)
    assert reproject(k * g, old=grid(a), new=grid(b)) == pytest.approx(k * there, rel=1e-9)


def test_numbers_of_different_basis_are_not_compared():
    with pytest.raises(BadInput, match="one basis on both sides"):
        reproject(1.0, old=grid(1.0), new=grid(2.0, basis="direct"))


def test_a_pue_below_one_is_refused():
    with pytest.raises(BadInput, match="PUE is 0.9; expected at least 1"):
        emissions_g(1.0, grid(1.0), pue=0.9)


def test_a_zone_typo_gets_a_suggestion():
    with pytest.raises(BadInput, match="no intensity for zone 'DEUU'"):
        find_intensity("DEUU")


def test_a_monthly_table_is_read_and_its_months_found(tmp_path):
    file = tmp_path / "my.csv"
    file.write_text("zone,period,g_per_kwh\nFRA,2026-01,61\nFRA,2026-07,35\n")
    table = read_intensities(file)
    assert find_intensity("FRA", period="2026-01", table=table).g_per_kwh == 61
    assert table[0].sha256 == table[1].sha256
    with pytest.raises(BadInput, match="no intensity for FRA in 2026-02"):
        find_intensity("FRA", period="2026-02", table=table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zone,g_per_kwh\nFRA,3\n", "lacks period"),
        ("zone,period,g_per_kwh\nFRA,2026,-3\n", "line 2: g_per_kwh is '-3'"),
        ("zone,period,g_per_kwh\nFRA,2026,nan\n", "line 2: g_per_kwh is 'nan'"),
        ("zone,period,g_per_kwh\nFRA,January,3\n", "line 2: period is 'January'"),
        ("", "lacks"),
    ],
)
def test_a_bad_table_is_told_by_line(tmp_path, text, message):
    file = tmp_path / "my.csv"
    file.write_text(text)
    with pytest.raises(BadInput, match=message):
        read_intensities(file)


def test_kilometers_carry_their_factor():
    same = equivalents(1075.0)
    assert same[0].value == pytest.approx(10.0)
    assert all(e.g_per_unit > 0 and e.source for e in same)


def test_break_even_of_the_paper():
    # 90 km of training against 3345 km for 10,000 volumes: about 270 volumes.
    assert break_even_volumes(90.0, 3345.0 / 10_000) == pytest.approx(269, abs=1)
