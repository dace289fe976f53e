"""A run folder made by hand: every question answered, some figures without data."""

import csv
import io

import numpy as np
import pytest

from audit.result import (
    AuditResult,
    CohortSummary,
    Finding,
    PhaseRecord,
    Verdict,
    load_result,
    write_result,
    write_text,
)

PATIENT = "MUELLER_HANS_19530412"


def _finding(metric, value, low, high, **more):
    fields = {"better": "lower", "n": 32, "level": 0.95, "method": "jackknife by subject"}
    return Finding(metric=metric, value=value, low=low, high=high, **fields | more)


def _fidelity(rng):
    floor = {"real_vs_real": 0.021, "real_vs_real_low": 0.012, "real_vs_real_high": 0.034}
    found = []
    for extractor, shift in (("intensity", 0.3), ("ssl3d", 0.02), ("resnet25d", 0.11)):
        params = {"extractor": extractor, "weights_sha256": "ab" * 32}
        found.append(
            _finding(
                f"fidelity.kernel_distance[{extractor}]",
                0.02 + shift,
                0.015 + shift / 2,
                0.03 + 1.4 * shift,
                reference=floor,
                params=params,
                p_value=0.04,
            )
        )
        found.append(
            _finding(
                f"fidelity.frechet_distance[{extractor}]",
                4 + 20 * shift,
                3.1 + 18 * shift,
                5.2 + 22 * shift,
                reference={"real_vs_real": 3.9},
                params=params,
                series={"bias_n": [25.0, 50.0, 100.0, 200.0], "bias_line": [9.0, 5.5, 3.7, 2.8]},
            )
        )
    found.append(
        Finding(
            metric="fidelity.radiomics_distance[a_long_name_without_any_place_to_break_a_line]",
            status="not_computable",
            reason="no label maps to take radiomics from.",
        )
    )
    return found


def _memorization(rng):
    stranger = rng.normal(0.62, 0.08, 32).clip(0, 1).tolist()
    return [
        _finding(
            "memorization.copy_rate",
            0.0,
            0.0,
            0.109,
            method="Clopper-Pearson",
            reference={"null": 0.05},
            params={"alpha": 0.05},
            series={
                "synthetic_to_train": rng.normal(0.63, 0.08, 32).clip(0, 1).tolist(),
                "holdout_to_train": stranger,
                "train_to_train": rng.normal(0.61, 0.09, 48).clip(0, 1).tolist(),
                "threshold": [0.82],
            },
        )
    ]


def _heart(rng, shift):
    z, y, x = np.mgrid[:8, :32, :32]
    t = np.arange(10)
    radius = 8 - 2.5 * np.sin(np.pi * t / 9) ** 2 + shift
    r = np.hypot(y - 16, x - 16)[None] * np.ones(10)[:, None, None, None]
    radius = radius[:, None, None, None]
    labels = np.where(r < radius, 1, np.where(r < radius + 3, 2, 0)).astype(np.int16)
    image = np.where(labels == 1, 190, np.where(labels == 2, 90, 35)) + rng.normal(0, 9, r.shape)
    return image.clip(0, 255).astype(np.uint8), labels


def _write_exemplars(folder, role, rng, n, marker=None):
    folder.mkdir(parents=True)
    for i in range(n):
        image, labels = _heart(rng, 0.4 * i)
        if marker is not None:
            image[0, 0, 0, :8] = marker
        prefix = "" if role == "synthetic" else f"{role}-"
        np.savez_compressed(
            folder / f"{prefix}{i:03d}.npz",
            image=image,
            labels=labels,
            spacing_mm=np.array([8.0, 1.5, 1.5]),
            frame_ms=np.array(40.0),
            id=np.array(f"synthetic-{i:04d}" if role == "synthetic" else f"p{i:012x}"),
            role=np.array(role),
        )


def _cases(rng):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["id", "role", "group", "cardiac.lv_edv_ml", "cardiac.lv_ef_percent",
                     "adherence.dice.lv", "adherence.dice.myocardium"])  # fmt: skip
    for role, n in (("train", 48), ("holdout", 32), ("synthetic", 32)):
        for i in range(n):
            name = f"synthetic-{i:04d}" if role == "synthetic" else f"p{rng.integers(2**40):012x}"
            dice = (rng.beta(30, 3), rng.beta(20, 4)) if role == "synthetic" else ("", "")
            shift = 4 if role == "synthetic" else 0
            writer.writerow([name, role, "DCM", rng.normal(140 + 3 * shift, 25),
                             rng.normal(58 - shift, 7), *dice])  # fmt: skip
    return text.getvalue()


def example_result(name="phantom-heart"):
    rng = np.random.default_rng(5)
    floor = {"real_vs_real": 1.6, "real_vs_real_low": 0.7, "real_vs_real_high": 3.1}
    findings = (
        *_fidelity(rng),
        _finding("diversity.coverage[ssl3d]", 0.87, 0.8, 0.93, better="higher",
                 reference={"real_vs_real": 0.95}),
        _finding("adherence.dice[lv]", 0.908, 0.9, 0.915, better="higher",
                 reference={"ceiling": 0.94}),
        _finding("cardiac.ejection_fraction", 4.1, 2.0, 6.3, unit="%", reference=floor),
        *_memorization(rng),
        _finding("footprint.energy_per_volume", 1.4, 1.2, 1.6, unit="Wh"),
        _finding("novel.question", 1.0, 0.5, 1.5, series={"values": [1.0, 3.0, 2.0]}),
    )  # fmt: skip
    verdicts = (
        Verdict(
            gate="upper95 ≤ 0.15",
            metric="memorization.copy_rate",
            verdict="PASSED",
            value=0.0,
            low=0.0,
            high=0.089,
            threshold=0.15,
            message="upper bound 0.089 ≤ 0.15",
        ),
        Verdict(
            gate="not worse than the accepted baseline",
            metric="fidelity.kernel_distance[ssl3d]",
            verdict="REGRESSED",
            value=0.04,
            low=0.03,
            high=0.05,
            threshold=0.025,
            margin=0.01,
            baseline=0.015,
            message="0.04 against 0.015: harm +0.025",
        ),
    )
    shape = (1, 10, 8, 32, 32)
    cohorts = {
        role: CohortSummary(n=n, n_subjects=n, hash="0f" * 32, shape=shape, labeled=True)
        for role, n in (("train", 48), ("holdout", 32), ("synthetic", 32))
    }
    ledger = (
        PhaseRecord(phase="stage1_train", duration_s=60, energy_kwh={"cpu": 0.001, "ram": 0.0002},
                    method={"cpu": "load_model", "ram": "constant"}, work={"steps": 300}),
        PhaseRecord(phase="sampling", duration_s=21, energy_kwh={"cpu": 0.0004, "ram": None},
                    method={"cpu": "load_model", "ram": "missing: no source"}),
    )  # fmt: skip
    provenance = {"seed": 0, "extractors": ["intensity", "ssl3d"], "packages": {"torch": "2.15"}}
    return AuditResult(name=name, status="ok", findings=findings, verdicts=verdicts,
                       cohorts=cohorts, ledger=ledger, provenance=provenance)  # fmt: skip


def make_run(parent):
    """A finished run with synthetic and private real exemplars."""
    rng = np.random.default_rng(1)
    folder = parent / "run"
    folder.mkdir()
    write_result(example_result(), folder)
    write_text(folder / "cases.csv", _cases(rng))
    _write_exemplars(folder / "exemplars", "synthetic", rng, 6)
    _write_exemplars(folder / "private" / "exemplars", "holdout", rng, 4, marker=251)
    pairs = f"synthetic,train,similarity\nsynthetic-0000,{PATIENT},0.9\n"
    write_text(folder / "private" / "pairs.csv", pairs)
    return folder


@pytest.fixture
def run(tmp_path):
    """A run folder of one's own, to change."""
    return make_run(tmp_path)


@pytest.fixture
def light_run(run):
    """The same with three numbers only: quick to draw."""
    result = load_result(run)
    few = tuple(f for f in result.findings if f.section in ("memorization", "novel", "adherence"))
    write_result(result.model_copy(update={"findings": few}), run)
    return run


@pytest.fixture(scope="package")
def shared_run(tmp_path_factory):
    """A run folder that nobody changes, with its page rendered."""
    from reports.html import write_report

    folder = make_run(tmp_path_factory.mktemp("shared"))
    write_report(folder)
    return folder
