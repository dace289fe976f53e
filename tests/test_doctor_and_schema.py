"""What the doctor says of a configuration, and the schemas that editors read."""

import json

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from audit.baseline import Baseline
from audit.doctor import _country
from audit.errors import BadInput
from voxaudit import build_app

CONFIG = {
    "name": "a",
    "data": {"phantom": {"kind": "thorax"}},
    "generators": [{"id": "x", "kind": "replay"}],
}


@pytest.mark.parametrize(
    ("carbon", "status", "words"),
    [({"zone": "DEU"}, "OK", "DEU, 3"), ({}, "WARN", "energy without CO2"),
     ({"zone": "DEX"}, "FAIL", "DEX"), ({"zoned": "DEU"}, "FAIL", "zone")],
)  # fmt: skip
def test_the_doctor_looks_at_the_country_code(tmp_path, carbon, status, words):
    file = tmp_path / "audit.yaml"
    file.write_text(yaml.safe_dump(CONFIG | {"carbon": carbon}))
    check = _country(file)
    assert check.status == status
    assert words in check.message
    assert bool(check.fix) == (status != "OK")


def test_without_a_configuration_the_doctor_has_no_complaint(tmp_path):
    assert _country(tmp_path / "audit.yaml").status == "OK"


def schema(kind):
    done = CliRunner().invoke(build_app(), ["schema", kind])
    assert done.exit_code == 0, done.exception
    return json.loads(done.stdout)


def test_schemas_accept_what_is_written_and_refuse_misspelled_keys(tmp_path):
    from reports.commands.init import init

    init(tmp_path)
    for kind, file in (("config", "audit.yaml"), ("gates", "gates.yaml")):
        data = yaml.safe_load((tmp_path / file).read_text())
        jsonschema.validate(data, schema(kind))
        with pytest.raises(jsonschema.ValidationError, match="was unexpected"):
            jsonschema.validate(data | {"gatess": []}, schema(kind))
    jsonschema.validate(Baseline(name="b").model_dump(mode="json"), schema("baseline"))
    assert "findings" in schema("result")["properties"]


def test_an_unknown_schema_is_one_line():
    done = CliRunner().invoke(build_app(), ["schema", "gate"])
    assert isinstance(done.exception, BadInput)
    assert "gates" in str(done.exception)
