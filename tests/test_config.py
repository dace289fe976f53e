import pytest

from audit.config import read_config, set_value
from audit.errors import BadInput

GOOD = """
name: demo
data: {phantom: {kind: thorax, train: 8, holdout: 8}}
generators: [{id: ldm, kind: ldm, n: 16}]
profiles: {smoke: {generators.*.n: 4}}
"""


@pytest.fixture
def write(tmp_path):
    def make(text):
        file = tmp_path / "audit.yaml"
        file.write_text(text)
        return file

    return make


def test_a_good_file_is_read(write):
    config = read_config(write(GOOD))
    assert config.generators[0].n == 16
    assert str(config.folder) == "runs/demo"


def test_a_profile_changes_what_it_names(write):
    assert read_config(write(GOOD), profile="smoke").generators[0].n == 4


def test_set_wins_over_the_file(write):
    config = read_config(write(GOOD), changes=("generators.0.n=3", "seed=9"))
    assert (config.generators[0].n, config.seed) == (3, 9)


def test_an_unknown_key_gets_a_suggestion(write):
    with pytest.raises(BadInput, match=r"sed: unknown key, did you mean 'seed'\?"):
        read_config(write(GOOD + "sed: 3\n"))


def test_an_unknown_nested_key_gets_a_suggestion(write):
    text = GOOD.replace("kind: ldm, n", "kind: ldm, preste: x, n")
    with pytest.raises(BadInput, match=r"preste: unknown key, did you mean 'preset'\?"):
        read_config(write(text))


def test_all_faults_are_told_at_once(write):
    text = GOOD.replace("n: 16", "n: 0") + "seed: -1\n"
    with pytest.raises(BadInput, match=r"2 faults: .*seed.*; .*\.n: ") as caught:
        read_config(write(text))
    assert caught.value.exit_code == 2


def test_broken_yaml_is_one_line(write):
    with pytest.raises(BadInput, match="not valid YAML") as caught:
        read_config(write("a: [1,\n b: {"))
    assert "\n" not in str(caught.value)


def test_paths_are_relative_to_the_file_and_may_come_from_the_environment(
    write, tmp_path, monkeypatch
):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "elsewhere"))
    file = write(
        "name: a\ndata: {train: real/train, holdout: '${DATA_ROOT}/h'}\n"
        "generators: [{id: v, kind: folder, path: made}]\n"
    )
    config = read_config(file)
    assert config.data.train == str(tmp_path / "real/train")
    assert config.data.holdout == str(tmp_path / "elsewhere/h")
    assert config.generators[0].path == str(tmp_path / "made")


def test_a_missing_environment_variable_is_named(write, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    file = write(
        "name: a\ndata: {train: '${NOWHERE}/t', holdout: h}\ngenerators: [{id: v, kind: folder}]\n"
    )
    with pytest.raises(BadInput, match="NOWHERE is not set"):
        read_config(file)


def test_real_data_needs_both_cohorts(write):
    with pytest.raises(BadInput, match="no train or no holdout"):
        read_config(write("name: a\ndata: {train: t}\ngenerators: [{id: v, kind: folder}]\n"))


def test_set_value_reaches_every_item_of_a_list():
    data = {"a": [{"n": 1}, {"n": 2}]}
    set_value(data, "a.*.n", 5)
    assert data == {"a": [{"n": 5}, {"n": 5}]}
