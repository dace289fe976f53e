"""Names of the codes in label maps: ``labels.json`` beside a cohort."""

import json
from pathlib import Path

from audit.errors import BadInput

MAX_CODE = 32767


def read_names(folder: Path) -> dict[str, int] | None:
    """Names in ``labels.json`` of a folder; None where it has none.

    Raises:
        BadInput: The file is not an object of distinct positive codes.
    """
    file = folder / "labels.json"
    return read_names_file(file) if file.is_file() else None


def read_names_file(file: Path) -> dict[str, int]:
    """Names in a JSON file.

    Raises:
        BadInput: It is not an object of distinct positive codes.
    """
    try:
        return checked_names(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RecursionError, OSError) as error:
        raise BadInput(
            f"'{file.name}' cannot be read as JSON", '{"lv": 3, "myocardium": 2}'
        ) from error


def checked_names(names: object) -> dict[str, int]:
    """The names, if they are distinct positive codes.

    Raises:
        BadInput: They are not.
    """
    good = isinstance(names, dict) and all(
        isinstance(k, str) and k and type(v) is int and 0 < v <= MAX_CODE for k, v in names.items()
    )
    if not isinstance(names, dict) or not good or len(set(names.values())) < len(names):
        raise BadInput(
            "the label names are not names with distinct codes from 1",
            'an object such as {"lv": 3, "myocardium": 2, "rv": 1}',
            "Correct them",
        )
    return names
