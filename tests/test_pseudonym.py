import re
import stat

from audit.pseudonym import pseudonym


def test_the_same_id_has_the_same_pseudonym_and_another_id_another(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXAUDIT_CONFIG", str(tmp_path))
    assert pseudonym("patient-17") == pseudonym("patient-17") != pseudonym("patient-18")
    assert re.fullmatch("p[0-9a-f]{12}", pseudonym("patient-17"))


def test_a_pseudonym_stays_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXAUDIT_CONFIG", str(tmp_path))
    once = pseudonym("patient-17")
    assert pseudonym(once) == once


def test_another_key_gives_another_pseudonym(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXAUDIT_CONFIG", str(tmp_path / "a"))
    first = pseudonym("patient-17")
    monkeypatch.setenv("VOXAUDIT_CONFIG", str(tmp_path / "b"))
    assert pseudonym("patient-17") != first


def test_only_the_owner_can_read_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("VOXAUDIT_CONFIG", str(tmp_path))
    pseudonym("patient-17")
    (key,) = tmp_path.iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
