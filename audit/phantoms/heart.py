"""One heart patient: anatomy and function drawn from a stated population with five pathologies."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NAMES = {"rv": 1, "myocardium": 2, "lv": 3}
GROUPS = ("NOR", "DCM", "HCM", "MINF", "RV")
DENSITY_G_PER_ML = 1.05
FIELD_MM = 152.0

# Mean and SD by group: LV EDV in mL/m², LV EF in %, LV mass in g/m², RV EDV in mL/m², RV EF in %.
# Group definitions follow ACDC (Bernard et al. 2018, doi 10.1109/TMI.2018.2837502); normal values
# follow CMR reference ranges (Kawel-Boehm et al. 2020, doi 10.1186/s12968-020-00683-3).
POPULATION: dict[str, tuple[tuple[float, float], ...]] = {
    "NOR": ((78, 11), (62, 4), (55, 8), (84, 11), (58, 4)),
    "DCM": ((132, 15), (28, 6), (80, 10), (86, 14), (45, 7)),
    "HCM": ((72, 9), (69, 4), (108, 14), (76, 10), (61, 4)),
    "MINF": ((104, 13), (34, 4), (68, 9), (80, 11), (50, 6)),
    "RV": ((72, 9), (57, 5), (56, 8), (128, 9), (34, 5)),
}


@dataclass(frozen=True, kw_only=True)
class Heart:
    """Anatomy and function of one patient at end-diastole (ED) and end-systole (ES).

    Attributes:
        group: Pathology.
        bsa_m2: Body surface area.
        lv_edv_ml: LV volume at ED.
        lv_esv_ml: LV volume at ES.
        lv_mass_g: Myocardial mass, constant over the cycle.
        rv_edv_ml: RV volume at ED.
        rv_esv_ml: RV volume at ES.
        length_mm: Epicardial length at ED.
        shortening: Share of the length lost at ES.
        systole: ES as a fraction of the cycle, before it is put on a frame.
        early: Share of the stroke volume that the early filling wave brings.
        cycle_ms: Duration of one beat.
        septum_rad: Direction of the RV seen from the LV axis.
        spread_rad: Half the angle over which the RV embraces the LV.
        infarct_rad: Direction of an akinetic wall.
        akinesia: Share of the wall that is missing there at ES, 0 to 1.
        stretch: In-plane aspect of the LV cross-section.
        shear: Drift of the axis in (y, x), mm per mm of z.
        tilt: Rise of the base plane towards (y, x), mm per mm.
        center_mm: Position of the LV axis at mid-level in (y, x) about the field's center.
        texture_seed: Seed of tissue, noise and bias field.
    """

    group: str
    bsa_m2: float
    lv_edv_ml: float
    lv_esv_ml: float
    lv_mass_g: float
    rv_edv_ml: float
    rv_esv_ml: float
    length_mm: float
    shortening: float
    systole: float
    early: float
    cycle_ms: float
    septum_rad: float
    spread_rad: float
    infarct_rad: float
    akinesia: float
    stretch: float
    shear: tuple[float, float]
    tilt: tuple[float, float]
    center_mm: tuple[float, float]
    texture_seed: int


def draw_heart(rng: np.random.Generator, group: str) -> Heart:
    """Draw one patient of a pathology group from the population."""

    def normal(mean: float, sd: float) -> float:
        return float(mean + sd * np.clip(rng.standard_normal(), -2, 2))

    bsa = normal(1.88, 0.13)
    edv, ef, mass, rv_edv, rv_ef = (normal(*law) for law in POPULATION[group])
    edv, mass, rv_edv = edv * bsa, mass * bsa, rv_edv * bsa
    slender = {"DCM": 13.6, "HCM": 14.6}.get(group, 15.0)
    septum = normal(0.6, 0.12)
    reach = 0.115 * rv_edv
    return Heart(
        group=group,
        bsa_m2=bsa,
        lv_edv_ml=edv,
        lv_esv_ml=edv * (1 - ef / 100),
        lv_mass_g=mass,
        rv_edv_ml=rv_edv,
        rv_esv_ml=rv_edv * (1 - rv_ef / 100),
        length_mm=normal(slender, 0.3) * float(np.cbrt(edv + mass / DENSITY_G_PER_ML)),
        shortening=normal(0.25, 0.02) * ef / 100,
        systole=normal(0.36, 0.025),
        early=normal(0.55 if group in ("DCM", "HCM") else 0.68, 0.05),
        cycle_ms=normal(880, 110),
        septum_rad=septum,
        spread_rad=normal(1.2, 0.05),
        infarct_rad=float(rng.uniform(-np.pi, np.pi)),
        akinesia=normal(0.6, 0.08) if group == "MINF" else abs(normal(0.05, 0.05)),
        stretch=normal(1.0, 0.04),
        shear=(normal(0, 0.05), normal(0, 0.05)),
        tilt=(normal(0.2, 0.05), normal(-0.22, 0.05)),
        center_mm=(
            normal(0, 2) - reach * float(np.sin(septum)),
            normal(0, 2) - reach * float(np.cos(septum)),
        ),
        texture_seed=int(rng.integers(2**31)),
    )


def ejected_share(heart: Heart, frames: int) -> npt.NDArray[np.float64]:
    """Share of the stroke volume that is out of the ventricle at each frame, 0 at ED and 1 at ES.

    Ejection, early filling, diastasis and atrial kick. ES falls on a frame, so that the smallest
    sampled volume is the end-systolic one; a single frame is ED.
    """
    if frames == 1:
        return np.zeros(1)
    es = min(max(round(heart.systole * frames), 1), frames - 1)
    phase = np.arange(frames, dtype=np.float64)
    out = np.sin(np.pi / 2 * np.minimum(phase / es, 1)) ** 2
    diastole = np.clip((phase - es) / (frames - es), 0, 1)

    def wave(start: float, end: float) -> npt.NDArray[np.float64]:
        return np.sin(np.pi / 2 * np.clip((diastole - start) / (end - start), 0, 1)) ** 2

    kick = 0.93 - heart.early
    filled = heart.early * wave(0.0, 0.45) + 0.07 * diastole + kick * wave(0.72, 1.0)
    return np.where(phase <= es, out, 1 - filled)


def truth(heart: Heart, frames: int = 1) -> dict[str, float]:
    """Analytic function of the heart, as ``Case.attributes``."""
    lv_sv, rv_sv = heart.lv_edv_ml - heart.lv_esv_ml, heart.rv_edv_ml - heart.rv_esv_ml
    return {
        "lv_edv_ml": heart.lv_edv_ml,
        "lv_esv_ml": heart.lv_esv_ml,
        "lv_sv_ml": lv_sv,
        "lv_ef_percent": 100 * lv_sv / heart.lv_edv_ml,
        "lv_mass_g": heart.lv_mass_g,
        "rv_edv_ml": heart.rv_edv_ml,
        "rv_esv_ml": heart.rv_esv_ml,
        "rv_sv_ml": rv_sv,
        "rv_ef_percent": 100 * rv_sv / heart.rv_edv_ml,
        "bsa_m2": heart.bsa_m2,
        "cycle_ms": heart.cycle_ms,
        "es_frame": float(np.argmax(ejected_share(heart, frames))),
    }
