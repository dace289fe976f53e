"""Radiomic features against the IBSI's digital phantom, and the distance built on them."""

import re

import numpy as np
import pytest

from audit.errors import NotComputable
from audit.features.radiomic_distance import frechet_radiomics_distance
from audit.features.radiomics import COIF1, gray_levels, radiomic_features, wavelet_bands
from audit.features.zones import neighborhood_features, zone_features
from audit.statistics.frechet import frechet
from audit.statistics.radiomics import (
    cooccurrence_features,
    cooccurrence_matrix,
    histogram_features,
    intensity_statistics,
    run_length_features,
    run_length_matrix,
)

# IBSI digital phantom (arXiv:1612.07003, section 5.1); 0 is outside the region.
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)
# Published consensus values, three significant digits; textures are "3D, merged" at distance 1.
IBSI = {
    "stat_mean": 2.15, "stat_var": 3.05, "stat_skew": 1.08, "stat_kurt": -0.355,
    "stat_median": 1, "stat_min": 1, "stat_p10": 1, "stat_p90": 4, "stat_max": 6, "stat_iqr": 3,
    "stat_range": 5, "stat_mad": 1.55, "stat_rmad": 1.11, "stat_medad": 1.15,
    "stat_energy": 567, "stat_rms": 2.77, "ih_entropy": 1.27, "ih_uniformity": 0.512,
    "cm_joint_max": 0.509, "cm_joint_avg": 2.15, "cm_joint_var": 3.13, "cm_joint_entr": 2.57,
    "cm_diff_avg": 1.38, "cm_diff_var": 3.21, "cm_diff_entr": 1.64, "cm_sum_entr": 2.11,
    "cm_energy": 0.291, "cm_contrast": 5.12, "cm_inv_diff": 0.688, "cm_inv_diff_mom": 0.631,
    "cm_inv_var": 0.0574, "cm_corr": 0.183, "cm_auto_corr": 5.19, "cm_clust_tend": 7.41,
    "cm_clust_shade": 17.4, "cm_clust_prom": 147, "cm_info_corr1": -0.0288,
    "rlm_sre": 0.729, "rlm_lre": 2.76, "rlm_lgre": 0.607, "rlm_hgre": 9.64, "rlm_srlge": 0.372,
    "rlm_srhge": 8.67, "rlm_lrlge": 2.16, "rlm_lrhge": 15.6, "rlm_glnu_norm": 0.43,
    "rlm_rlnu_norm": 0.501, "rlm_r_perc": 0.68, "rlm_gl_var": 3.48, "rlm_rl_var": 0.598,
    "rlm_rl_entr": 2.62,
    "szm_sze": 0.255, "szm_lze": 550, "szm_lgze": 0.253, "szm_hgze": 15.6, "szm_szlge": 0.0256,
    "szm_szhge": 2.76, "szm_lzlge": 503, "szm_lzhge": 1490, "szm_glnu_norm": 0.28,
    "szm_zsnu_norm": 0.2, "szm_z_perc": 0.0676, "szm_gl_var": 2.64, "szm_zs_var": 331,
    "szm_zs_entr": 2.32, "ngt_coarseness": 0.0296, "ngt_contrast": 0.584, "ngt_busyness": 6.54,
    "ngt_complexity": 13.5, "ngt_strength": 0.763,
    "ngl_lde": 0.045, "ngl_hde": 109, "ngl_lgce": 0.693, "ngl_hgce": 7.66, "ngl_ldlge": 0.00963,
    "ngl_ldhge": 0.736, "ngl_hdlge": 102, "ngl_hdhge": 235, "ngl_glnu_norm": 0.512,
    "ngl_dcnu_norm": 0.0657, "ngl_gl_var": 3.05, "ngl_dc_var": 22.1, "ngl_dc_entr": 4.4,
    "ngl_dc_energy": 0.0533,
}  # fmt: skip


def all_features(values: np.ndarray, levels: np.ndarray, count: int) -> dict[str, float]:
    return (
        intensity_statistics(values)
        | histogram_features(levels)
        | cooccurrence_features(cooccurrence_matrix(levels, count))
        | run_length_features(run_length_matrix(levels, count), values.size)
        | zone_features(levels)
        | neighborhood_features(levels)
    )


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    return all_features(PHANTOM[PHANTOM > 0], PHANTOM, 6)


def test_every_feature_has_an_ibsi_value(found) -> None:
    assert found.keys() == IBSI.keys()


@pytest.mark.parametrize("name", IBSI)
def test_feature_equals_the_ibsi_value_of_the_digital_phantom(name: str, found) -> None:
    assert float(f"{found[name]:.3g}") == pytest.approx(IBSI[name], rel=1e-9)


def test_every_feature_equals_mirp_on_a_volume() -> None:
    """A peer in one run: ``pip install mirp==2.7.0`` (EUPL-1.2; needs itk, only to read files)."""
    mirp = pytest.importorskip("mirp")
    image = np.random.default_rng(0).normal(size=(24, 20, 16)).cumsum(axis=2).astype(np.float32)
    row = mirp.extract_features(
        image=image,
        mask=np.ones(image.shape, dtype=np.int8),
        base_discretisation_method="fixed_bin_number",
        base_discretisation_n_bins=32,
        base_feature_families=["statistics", "ih", "cm", "rlm", "szm", "ngtdm", "ngldm"],
        glcm_spatial_method="3d_volume_merge",
        glrlm_spatial_method="3d_volume_merge",
    )[0].iloc[0]
    theirs = {
        name: [c for c in row.index if c == name or re.match(rf"{name}_(d1_|3d_|fbn_)", c)]
        for name in IBSI
    }
    values = image.astype(np.float64)
    ours = all_features(values, gray_levels(values, float(values.min()), float(values.max())), 32)
    assert all(len(columns) == 1 for columns in theirs.values()), theirs
    for name, (column,) in theirs.items():
        assert ours[name] == pytest.approx(float(row[column]), rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("levels", [np.ones((3, 4, 5), dtype=int), np.ones((1, 1, 1), dtype=int)])
def test_one_gray_level_or_voxel_has_finite_zone_features(levels: np.ndarray) -> None:
    flat = zone_features(levels) | neighborhood_features(levels)
    assert np.isfinite(list(flat.values())).all()
    assert flat["szm_z_perc"] == 1 / levels.size
    assert flat["ngt_contrast"] == 0


def test_runs_along_one_line_are_counted_once_per_direction() -> None:
    runs = run_length_matrix(np.array([[[1, 1, 2, 2, 2]]]), 2)
    assert runs[0, 1] == 1  # the pair of ones, along x
    assert runs[1, 2] == 1
    assert runs[0, 0] == 2 * 12  # each alone in the twelve other directions
    assert runs[1, 0] == 3 * 12


def test_constant_image_has_finite_features_and_one_gray_level() -> None:
    assert gray_levels(np.full((2, 3, 4), 0.3), 0.3, 0.3).max() == 1
    flat = np.zeros((1, 1, 8, 8, 8), dtype=np.float32)
    assert np.isfinite(radiomic_features(flat, spacing_mm=(1.0, 1.0, 1.0))).all()


def test_coiflet_is_orthonormal_and_its_low_bands_keep_the_mean() -> None:
    taps = np.array(COIF1)
    assert taps @ taps == pytest.approx(1)
    assert taps[2:] @ taps[:-2] == pytest.approx(0, abs=1e-9)
    assert taps[4:] @ taps[:-4] == pytest.approx(0, abs=1e-9)
    image = np.random.default_rng(0).normal(size=(8, 8, 8)) + 3
    low, *others = wavelet_bands(image)
    assert low.mean() == pytest.approx(image.mean())
    assert len(others) == 7
    assert max(abs(band.mean()) for band in others) < 1e-9
    # An undecimated orthonormal step divides the energy among its bands.
    energy = sum(float((band**2).sum()) for band in (low, *others))
    assert energy == pytest.approx(float((image**2).sum()))


@pytest.mark.parametrize("shape", [(1, 1, 1, 16, 16), (2, 3, 6, 8, 8)])
def test_2d_to_4d_and_channels_give_finite_features(shape: tuple[int, ...]) -> None:
    volume = np.random.default_rng(0).uniform(-1, 1, size=shape).astype(np.float32)
    features = radiomic_features(volume, spacing_mm=(2.0, 1.0, 1.0))
    assert features.shape == (696 * shape[0],)
    assert np.isfinite(features).all()


def test_cine_is_the_mean_of_four_frames_evenly_spread() -> None:
    cine = np.random.default_rng(0).uniform(-1, 1, size=(1, 10, 4, 6, 6)).astype(np.float32)
    whole = radiomic_features(cine, spacing_mm=(2.0, 1.0, 1.0))
    parts = [radiomic_features(cine[:, [t]], spacing_mm=(2.0, 1.0, 1.0)) for t in (0, 2, 5, 7)]
    np.testing.assert_allclose(whole, np.mean(parts, axis=0))


def test_distance_is_the_log_of_frechet_on_z_scores_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    real, synthetic = rng.normal(5, [1, 100, 0.01], (2, 20, 3))
    sd = real.std(axis=0)
    expected = np.log(frechet(real=real / sd, synthetic=synthetic / sd).value)
    assert frechet_radiomics_distance(real=real, synthetic=synthetic) == pytest.approx(expected)


def test_units_of_features_do_not_change_the_distance() -> None:
    real, synthetic = np.random.default_rng(0).normal(5, 1, (2, 20, 3))
    scale = np.array([1e-3, 1.0, 1e6])
    assert frechet_radiomics_distance(real=real * scale, synthetic=synthetic * scale) == (
        pytest.approx(frechet_radiomics_distance(real=real, synthetic=synthetic))
    )


def test_feature_that_is_constant_in_the_reference_is_left_out() -> None:
    real, synthetic = np.random.default_rng(0).normal(5, 1, (2, 20, 3))
    dead = np.column_stack([real, np.ones(20)]), np.column_stack([synthetic, synthetic[:, 0]])
    assert frechet_radiomics_distance(real=dead[0], synthetic=dead[1]) == (
        pytest.approx(frechet_radiomics_distance(real=real, synthetic=synthetic))
    )


def test_identical_cohorts_have_a_reason_in_place_of_minus_infinity() -> None:
    rows = np.random.default_rng(0).normal(size=(8, 3))
    with pytest.raises(NotComputable, match="no logarithm"):
        frechet_radiomics_distance(real=rows, synthetic=rows)
    with pytest.raises(NotComputable, match="no radiomic feature varies"):
        frechet_radiomics_distance(real=np.ones((8, 3)), synthetic=rows)
