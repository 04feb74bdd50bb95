"""The gallery of explanations: bounded, shared out in turns, and never a way out of its folder."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from analysis.page.build import build
from analysis.page.heatmaps import gallery
from analysis.results.collect import collect
from tests.analysis.support import rich_study


def keys(small: Any) -> set[str]:
    return {cell.result.key for cell in collect(small.study).cells}


def test_pictures_are_embedded_whole(small: Any) -> None:
    explained = rich_study.add_explanation(small)
    found = gallery(small.study, keys(small))
    assert found.fault is None
    (network,) = found.networks
    data = b64encode(rich_study.png()).decode()
    assert [one.data for one in network.figures] == [f"data:image/png;base64,{data}"] * 4
    assert "confident and right: ABE/1.jpg, true ABE, predicted ABE at 0.900" in network.figures[0].description
    build(small.study)
    page = (small.root / "report" / "index.html").read_text()
    assert page.count(data) == 4
    assert (small.root / f"report/tables/explanations-{explained.key[:8]}.csv").is_file()


def test_what_is_left_out_is_counted_and_linked(small: Any) -> None:
    rich_study.add_explanation(small)
    size = len(rich_study.png())
    found = gallery(small.study, keys(small), most_bytes=2 * size + 1)
    assert (found.embedded, found.left_out) == (2, 2)
    assert [one.files.title for one in found.networks[0].left_out] == ["test images of LYT", "test images of MON"]


def test_each_network_has_its_turn(small: Any) -> None:
    first = rich_study.add_explanation(small)
    other = first.model_copy(update={"scenario": "PCam"})
    small.study.storage.write("report/figures/gradcam-other.json", other.model_dump_json().encode())
    found = gallery(small.study, keys(small), most_bytes=2 * len(rich_study.png()))
    assert [sum(one.data is not None for one in network.figures) for network in found.networks] == [1, 1]


def test_a_record_cannot_show_other_files(small: Any) -> None:
    explained = rich_study.add_explanation(small)
    outside = [figure.model_copy(update={"png": "../../study.json"}) for figure in explained.figures[:1]]
    missing = [figure.model_copy(update={"png": "gone.png"}) for figure in explained.figures[:1]]
    other = [
        figure.model_copy(update={"png": f"gradcam-resnet18-Random-{explained.key[:8]}.json"}) for figure in outside
    ]
    rich_study.add_explanation(small, figures=(*outside, *missing, *other))
    (network,) = gallery(small.study, keys(small)).networks
    assert all(one.data is None for one in network.figures)
    faults = [one.fault or "" for one in network.figures]
    assert "is no plain name of a file" in faults[0]
    assert "is missing" in faults[1]
    assert "is no PNG picture" in faults[2]
    assert network.left_out == ()


def test_explanations_of_what_does_not_count_are_not_shown(small: Any) -> None:
    rich_study.add_explanation(small)
    small.edit_result("resnet18-Random-f0-r0.02", selected_on="test f1_macro")
    assert gallery(small.study, keys(small)).networks == ()


def test_a_broken_record_does_not_stop_the_report(small: Any) -> None:
    small.study.storage.write("report/figures/gradcam-x.json", b"{}")
    build(small.study)
    page = (small.root / "report" / "index.html").read_text()
    assert "Explanations cannot be shown" in page
    assert "gradcam-x.json is not as expected" in page
