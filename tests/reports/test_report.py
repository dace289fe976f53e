"""The page: offline, private, hostile-proof, deterministic, capped, and honest about gaps."""

import base64
import hashlib
import re
import shutil

import numpy as np
import pytest

from audit.errors import BadInput
from audit.result import Finding, load_result, write_result
from reports.html import render_html, write_report
from reports.material import read_material

PATIENT = "MUELLER_HANS_19530412"
HOSTILE = "<img src=x onerror=alert(1)>\"'&`|](http://evil.example)@all"


@pytest.fixture
def rendered(shared_run):
    """One run and its shareable page."""
    return shared_run, (shared_run / "report.html").read_text(encoding="utf-8")


def test_the_page_names_no_address_outside_itself(rendered):
    _, page = rendered
    links = re.findall(r"(?:src|href|action|xlink:href)\s*=\s*[\"']([^\"']*)", page)
    assert links
    assert [a for a in links if not a.startswith(("#", "data:"))] == []
    assert "@import" not in page
    assert "url(http" not in page


def test_every_script_that_may_run_is_named_by_hash(rendered):
    _, page = rendered
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


def test_every_section_and_every_figure_has_its_parts(rendered):
    _, page = rendered
    for anchor in ("verdict", "gates", "volumes-section", "fidelity", "memorization", "footprint",
                   "novel", "limits", "provenance", "checklist"):  # fmt: skip
        assert f'id="{anchor}"' in page
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(figures) >= 7
    for figure in figures:
        assert re.search(r"<h3>\S", figure)
        assert re.search(r"<figcaption>\S", figure)
        assert "data:text/csv;base64," in figure
        assert 'role="img"' in figure


def test_a_missing_number_is_listed_with_its_reason(rendered):
    _, page = rendered
    assert page.count("no label maps to take radiomics from") >= 2


def test_a_command_in_a_sentence_is_set_as_code_and_markup_in_it_stays_text(run):
    reason = "no label maps. `voxaudit score --only <b>` needs them"
    gone = Finding(metric="fidelity.new", status="not_computable", reason=reason)
    result = load_result(run)
    write_result(result.model_copy(update={"findings": (*result.findings, gone)}), run)
    page = write_report(run).read_text(encoding="utf-8")
    assert "<code>voxaudit score --only &lt;b&gt;</code> needs them" in page


def test_no_voxel_and_no_link_of_a_patient_is_in_the_shareable_page(rendered):
    folder, page = rendered
    assert PATIENT not in page
    with np.load(folder / "private" / "exemplars" / "holdout-000.npz") as stored:
        name = str(stored["id"])
    assert name not in page
    assert "real heart withheld" in page
    entries = page.split('id="volumes">')[1].split("</script>")[0]
    assert '"holdout"' not in entries


def test_equal_runs_give_equal_bytes_also_without_the_private_folder(run, shared_run):
    """Another folder with the same numbers, drawn again."""
    shutil.rmtree(run / "private")
    assert write_report(run).read_bytes() == (shared_run / "report.html").read_bytes()


def test_all_images_go_to_an_internal_file_with_a_banner(light_run):
    path = write_report(light_run, images="all")
    assert path.name == "report.internal.html"
    page = path.read_text(encoding="utf-8")
    assert "Contains images of real patients" in page
    assert "real, hold-out" in page


def test_phantoms_may_be_shown_and_need_no_banner(light_run):
    result = load_result(light_run)
    public = {**result.provenance, "real_images_public": True}
    write_result(result.model_copy(update={"provenance": public}), light_run)
    page = write_report(light_run).read_text(encoding="utf-8")
    assert "real, hold-out" in page
    assert "Contains images of real patients" not in page


def test_no_images_means_none(light_run):
    page = write_report(light_run, images="none").read_text(encoding="utf-8")
    assert "image/webp" not in page


def test_copies_of_patients_are_not_drawn(light_run):
    table = (light_run / "cases.csv").read_text().splitlines()
    rows = [table[0] + ",memorization.copy"]
    rows += [f"{row},{1 if row.startswith('synthetic-0002') else 0}" for row in table[1:]]
    (light_run / "cases.csv").write_text("\n".join(rows))
    page = write_report(light_run).read_text(encoding="utf-8")
    assert "synthetic · synthetic-0001" in page
    assert "synthetic · synthetic-0002" not in page
    assert "1 synthetic volumes are not drawn" in page


def test_a_cohort_of_copies_is_not_drawn_at_all(light_run):
    table = (light_run / "cases.csv").read_text().splitlines()
    rows = [table[0] + ",memorization.flagged,memorization.similarity"]
    rows += [f"{row},1,0.99" if row.startswith("synthetic") else f"{row},," for row in table[1:]]
    (light_run / "cases.csv").write_text("\n".join(rows))
    page = write_report(light_run).read_text(encoding="utf-8")
    assert "image/webp" not in page
    assert "Nothing is drawn" in page
    assert "withheld: likely a copy" in page


def test_hostile_names_stay_text(run):
    result = load_result(run)
    bad = Finding(
        metric=f"fidelity.x[{HOSTILE}]", value=1.0, low=0.0, high=2.0, unit=HOSTILE, n=3,
        series={HOSTILE: [1.0, 2.0, 3.0]}, params={HOSTILE: HOSTILE},
    )  # fmt: skip
    worse = Finding(metric=f"{HOSTILE}.y", status="not_computable", reason=HOSTILE)
    write_result(
        result.model_copy(
            update={
                "name": HOSTILE,
                "findings": (bad, worse),
                "provenance": {HOSTILE: HOSTILE, "packages": {HOSTILE: HOSTILE}},
            }
        ),
        run,
    )
    page = write_report(run).read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "onerror=alert(1)>" not in page
    assert page.count("<script>") == 1


def test_expired_ignores_are_printed(light_run):
    (light_run / "gate.json").write_text('{"notes": ["expired ignore on fidelity.x"]}')
    page = write_report(light_run).read_text(encoding="utf-8")
    assert "Gates: expired ignore on fidelity.x." in page


def test_an_unfinished_run_without_anything_still_renders(tmp_path):
    from audit.result import AuditResult

    write_result(AuditResult(name="early"), tmp_path)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "The run is running, not finished" in page
    assert "No gate was run" in page


def test_the_cap_drops_the_viewer_first_and_says_so(light_run):
    page = render_html(read_material(light_run), max_mb=1.2)
    assert len(page.encode()) < 1.2e6
    assert 'id="niivue-code"' not in page
    assert "To keep the file small" in page


def test_a_cap_below_the_page_itself_is_bad_input(light_run):
    with pytest.raises(BadInput, match="without any volume"):
        render_html(read_material(light_run), max_mb=0.01)


def test_a_folder_without_a_result_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match=r"no result\.json"):
        write_report(tmp_path)


def test_masks_of_patients_and_likely_copies_are_hatched(light_run):
    from reports.closest import worst_masks
    from reports.material import read_material

    for place in ("exemplars/worst", "private/exemplars/worst"):
        (light_run / place).mkdir()
        for number in (0, 1):
            shutil.copy(light_run / "exemplars" / f"{number:03d}.npz", light_run / place)
    table = (light_run / "cases.csv").read_text().splitlines()
    rows = [f"{row},{int(row.startswith('synthetic-0001'))}" for row in table[1:]]
    (light_run / "cases.csv").write_text("\n".join([f"{table[0]},memorization.copy", *rows]))
    kept, copied = worst_masks(read_material(light_run))
    assert kept["asked"] is None
    assert kept["made"].startswith("data:image/webp")
    assert copied["made"] is None
    internal = worst_masks(read_material(light_run, images="all"))
    assert all(row["asked"] and row["made"] for row in internal)
    page = write_report(light_run).read_text(encoding="utf-8")
    assert "mask of a patient" in page
    assert "withheld: likely a copy" in page


def test_labels_are_laid_over_the_slice_in_color():
    from reports.exemplars import Exemplar, labeled_slice, richest_slice

    image = np.full((1, 4, 8, 8), 100, np.uint8)
    labels = np.zeros((1, 4, 8, 8), np.int16)
    labels[0, 2, :4] = 1
    one = Exemplar(name="a", role="synthetic", image=image, labels=labels,
                   spacing_mm=(1.0, 1.0, 1.0), frame_ms=None)  # fmt: skip
    assert richest_slice(labels[0]) == 2
    drawn = labeled_slice(one, 2, cell=8)
    assert drawn.shape == (8, 8, 4)
    assert (drawn[:4, :, :3] == 100).all()  # anterior is up: the labeled half is below
    assert (drawn[4:, :, 2] > 130).all()
