"""audit.yaml ⇄ Config: what a run trains, samples, measures and renders."""

import os
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit.errors import BadInput, did_you_mean


class Section(BaseModel):
    """Base of every part: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PhantomData(Section):
    """Embedded data: a seeded phantom population instead of files.

    Attributes:
        kind: ``thorax`` (CT) or ``heart`` (cine).
        train: Training cases.
        holdout: Hold-out cases.
        size: Voxels along each in-plane axis.
    """

    kind: Literal["thorax", "heart"]
    train: int = Field(48, ge=2)
    holdout: int = Field(32, ge=2)
    size: int = Field(32, ge=32)


class Data(Section):
    """Real data: folders or manifests, relative to the file; ``${NAME}`` reads the environment.

    Attributes:
        train: What generators learn from.
        holdout: What they never see; other subjects.
        conditions: Masks to sample for; None takes the hold-out's label maps where a generator is
            conditional.
        phantom: Embedded data in place of train and holdout.
        skip_unusable: Leave out files that cannot be used, and say so in the result.
        labels: Code of each structure, such as ``{lv: 3, myocardium: 2}``, where the cohorts do
            not name them.
    """

    train: str | None = None
    holdout: str | None = None
    conditions: str | None = None
    phantom: PhantomData | None = None
    skip_unusable: bool = False
    labels: dict[str, int] | None = None


class GeneratorSpec(Section):
    """One generator to audit.

    Attributes:
        id: Name of its run folder.
        kind: Name under ``generators/models``, ``python:package.module:Class`` or an entry point.
        preset: Published or tiny configuration by name.
        params: Settings on top of the preset.
        path: Folder of volumes (``folder``) or of a saved model (skips training).
        conditional: Sample for masks.
        n: Synthetic cases; None takes 32, or the whole folder.
        sampling: Options of sampling, such as ``steps`` and ``sampler``.
        only: Globs of metrics for this generator; empty takes those of ``metrics``.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: str
    preset: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    path: str | None = None
    conditional: bool = False
    n: int | None = Field(None, ge=1)
    sampling: dict[str, Any] = Field(default_factory=dict)
    only: tuple[str, ...] = ()


class Metrics(Section):
    """What to measure.

    Attributes:
        only: Globs; empty runs every default metric.
        extractors: Feature networks; empty takes the defaults.
        weights: Local weight files by extractor.
        options: Settings by part, such as ``segmenter`` or ``encoder_seeds``.
    """

    only: tuple[str, ...] = ()
    extractors: tuple[str, ...] = ()
    weights: dict[str, str] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)


class Carbon(Section):
    """Where the energy comes from.

    Attributes:
        zone: ISO 3166 alpha-3 country code; None leaves emissions out and keeps the energy.
        pue: Power usage effectiveness of the site.
        max_kwh: Stop cleanly, resumable, once this much energy is spent.
    """

    zone: str | None = None
    pue: float = Field(1.0, ge=1.0)
    max_kwh: float | None = Field(None, gt=0)


class Report(Section):
    """What the report shows.

    Attributes:
        images: ``redacted`` hides real patients; ``all`` also writes report.internal.html;
            ``none`` draws no volume.
    """

    images: Literal["none", "redacted", "all"] = "redacted"


class Config(Section):
    """One audit.yaml.

    Attributes:
        schema_version: Of this file.
        name: Name of the run.
        seed: Seed of everything random.
        out: Folder of the run, relative to where the command is called; None: ``runs/<name>``, with
            the profile behind the name, since a smoke run is not the start of a full one.
        replicates: Runs with other sampling seeds, the run itself included: a comparison on
            calibrated noise needs three. Volumes from a folder have none.
        device: ``cpu`` or ``cuda``; None takes the GPU where there is one.
        data: Real cohorts.
        generators: What to audit.
        metrics: What to measure.
        carbon: Where the energy comes from.
        report: What the report shows.
        profiles: Changes by profile name, as ``a.b: value``.
        profile: The one that was applied; ``--profile`` sets it.
    """

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(0, ge=0)
    out: str | None = None
    device: Literal["cpu", "cuda"] | None = None
    data: Data
    generators: tuple[GeneratorSpec, ...]
    metrics: Metrics = Metrics()
    carbon: Carbon = Carbon()
    report: Report = Report()
    replicates: int = Field(1, ge=1)
    profiles: dict[str, dict[str, Any]] = Field(default_factory=dict)
    profile: str | None = None

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        name = f"{self.name}-{self.profile}" if self.profile else self.name
        return Path(self.out or f"runs/{name}")


def read_config(path: Path, *, profile: str | None = None, changes: tuple[str, ...] = ()) -> Config:
    """Read audit.yaml, apply a profile and ``--set a.b=c`` changes, resolve paths.

    Args:
        path: The YAML file.
        profile: Name under ``profiles``.
        changes: ``a.b=value`` with a YAML value; list items by position: ``generators.0.n=8``.

    Raises:
        BadInput: Unreadable, unknown keys (with a suggestion), wrong values, missing environment.
    """
    if not path.is_file():
        raise BadInput(f"no configuration at {path.name}", "a YAML file", "Run `voxaudit init`")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} is not valid YAML ({_one_line(error)})", "YAML") from error
    if not isinstance(data, dict):
        raise BadInput(f"{path.name} holds no mapping", "keys such as name, data, generators")
    if profile:
        profiles = data.get("profiles") or {}
        if profile not in profiles:
            raise BadInput(f"no profile '{profile}'", did_you_mean(profile, profiles))
        for where, value in (profiles[profile] or {}).items():
            set_value(data, where, value)
        data["profile"] = profile
    for change in changes:
        where, equals, text = change.partition("=")
        if not equals:
            raise BadInput(f"--set got '{change}'", "a.b=value")
        set_value(data, where, yaml.safe_load(text))
    return _resolve(validate(data), path.parent)


def validate(data: dict[str, Any]) -> Config:
    """Check a configuration; all faults in one message.

    Raises:
        BadInput: With the place of each fault and a suggestion for unknown keys.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_fault(e) for e in error.errors())
        raise BadInput(f"the configuration has {error.error_count()} faults: {faults}") from error


def set_value(data: Any, where: str, value: Any) -> None:
    """Set ``a.b.0.c`` in nested mappings and lists; ``*`` stands for every item of a list."""
    head, _, rest = where.partition(".")
    if isinstance(data, list):
        if head != "*" and (not head.isdigit() or int(head) >= len(data)):
            raise BadInput(f"'{head}' is no item of a list of {len(data)}", "a position or *")
        for i in range(len(data)) if head == "*" else [int(head)]:
            if rest:
                set_value(data[i], rest, value)
            else:
                data[i] = value
    elif not isinstance(data, dict):
        raise BadInput(f"cannot set '{where}' on a plain value", "a key of the configuration")
    elif rest:
        set_value(data.setdefault(head, {}), rest, value)
    else:
        data[head] = value


def _fault(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{place}: {error['msg']} (observed {error['input']!r:.60})"
    return f"{place}: unknown key, {did_you_mean(str(error['loc'][-1]), _keys_at(error['loc']))}"


def _keys_at(where: tuple[Any, ...]) -> list[str]:
    model: Any = Config
    for part in where[:-1]:
        if isinstance(part, int):
            continue
        field = model.model_fields[part].annotation
        options = [field, *getattr(field, "__args__", ())]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, Section)), model)
    return list(model.model_fields)


def _resolve(config: Config, base: Path) -> Config:
    """Expand the environment in data paths and make them relative to the file."""

    def place(text: str | None) -> str | None:
        return None if text is None else str((base / _expand(text)).resolve())

    data = config.data.model_copy(
        update={k: place(getattr(config.data, k)) for k in ("train", "holdout", "conditions")}
    )
    if data.phantom is None and (data.train is None or data.holdout is None):
        raise BadInput("data names no train or no holdout", "both, or data.phantom")
    generators = tuple(g.model_copy(update={"path": place(g.path)}) for g in config.generators)
    if not generators:
        raise BadInput("generators is empty", "at least one", "Name what to audit")
    ids = [g.id for g in generators]
    if len(set(ids)) < len(ids):
        raise BadInput("two generators share an id", "unique ids", "Rename one")
    weights = {k: str(place(v)) for k, v in config.metrics.weights.items()}
    return config.model_copy(
        update={
            "data": data,
            "generators": generators,
            "metrics": config.metrics.model_copy(update={"weights": weights}),
        }
    )


def _expand(text: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise BadInput(f"environment variable {name} is not set", f"a path for ${{{name}}}")
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, text)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
