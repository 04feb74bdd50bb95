"""Tests of ``python -m analysis.gradcam`` from a study to its figures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.explain.explain_command import ExplainRequest, explain_study
from analysis.explain.records import records
from analysis.explain.records.records import Explained
from analysis.explain.records.records_reader import checks_table, read_gallery
from analysis.gradcam import main
from analysis.results.predictions import read_predictions, softmax
from trainables.registry import _published
from trainables.store.study import Study

ROOT = Path(__file__).parents[3]
CLASSES = ("basophil", "monocyte")


@pytest.fixture(scope="module")
def explained(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study with both networks explained on two classes. Not to be changed."""
    root = tmp_path_factory.mktemp("shown")
    shutil.copytree(made.parent / ".cache", root / ".cache")
    study = Path(shutil.copytree(made, root / "cells"))
    options = ["--classes", *CLASSES, "--count", "1", "--steps", "3"]
    assert main([str(study), "--architecture", "cnn", "vit", *options]) == 0
    return study


def explained_in(study: Path) -> dict[str, Explained]:
    return {one.architecture: one for one in read_gallery(Study.open(str(study)))}


def test_each_network_has_a_figure_a_class_and_a_record(explained: Path) -> None:
    found = explained_in(explained)
    assert found.keys() == {"cnn", "vit"}
    folder = explained / "report" / "figures"
    named = {file for one in found.values() for figure in one.figures for file in (figure.svg, figure.png)}
    assert {file.name for file in folder.iterdir() if file.suffix != ".json"} == named
    for one in found.values():
        assert [figure.title for figure in one.figures] == [f"test images of {name}" for name in CLASSES]
        for figure in one.figures:
            with Image.open(folder / figure.png) as image:
                assert min(image.size) > 200
            assert (folder / figure.svg).read_text().count("<image") >= 4
            assert one.layer in figure.caption


def test_the_layers_are_those_of_the_architecture(explained: Path) -> None:
    found = explained_in(explained)
    assert (found["cnn"].layer, found["cnn"].grid) == ("layer4", (3, 3))
    assert (found["vit"].layer, found["vit"].grid) == ("blocks.5.norm1", (6, 6))
    assert found["cnn"].guided == "guided back-propagation through ReLU"
    assert found["vit"].guided.startswith("plain gradient")
    assert all("px, and nothing finer is known" in one.notes[0] for one in found.values())


def test_every_check_of_every_map_is_there(explained: Path) -> None:
    maps = {records.GRADCAM, records.PLUS_PLUS}
    expected = {(check, name) for check in records.MEANING for name in maps}
    expected |= {(c, n) for c in (records.DELETION, records.INSERTION) for n in (records.GAUSSIAN, records.RANDOM)}
    expected |= {
        (c, n)
        for c in (records.IN_CELL, records.IN_NUCLEUS)
        for n in (records.GAUSSIAN, records.UNIFORM, records.UNTRAINED)
    }
    for one in explained_in(explained).values():
        images = sum(len(figure.images) for figure in one.figures)
        assert {(check.check, check.map) for check in one.checks} == expected
        assert all(check.images + check.undefined == images for check in one.checks)
        values = [check.mean for check in one.checks if check.mean is not None]
        assert all(-1 <= value <= 1 for value in values)
        table = checks_table(one)
        assert len(table.rows) == len(expected)
        assert "Whether to believe" in table.title


def test_images_are_test_images_with_what_was_said_of_them(explained: Path) -> None:
    study = Study.open(str(explained))
    for one in explained_in(explained).values():
        said = read_predictions(study.find(one.key).files.read("predictions.parquet"), 6)["test"]
        probability = dict(zip(said.image_ids.to_pylist(), softmax(said.logits), strict=True))
        for figure in one.figures:
            for image in figure.images:
                assert image.image_id.startswith(f"{image.label}/")
                assert image.probability == pytest.approx(probability[image.image_id].max())
                assert image.why in ("confident and right", "confident and wrong", "drawn at random")


def test_the_same_again_gives_the_same_record_and_leaves_nothing_old(explained: Path, tmp_path: Path) -> None:
    shutil.copytree(explained.parent / ".cache", tmp_path / ".cache")
    study = Path(shutil.copytree(explained, tmp_path / "cells"))
    before = explained_in(study)
    shown = {file.name for file in (study / "report" / "figures").iterdir()}
    again = explain_study(Study.open(str(study)), ExplainRequest(["cnn"], classes=CLASSES[:1], count=1, steps=3))
    assert again[0].figures[0] == before["cnn"].figures[0]
    after = {file.name for file in (study / "report" / "figures").iterdir()}
    assert shown - after == {before["cnn"].figures[1].svg, before["cnn"].figures[1].png}
    assert explained_in(study)["vit"] == before["vit"]


def test_the_gallery_leaves_out_what_is_of_another_stage(explained: Path) -> None:
    study = Study.open(str(explained))
    key = explained_in(explained)["vit"].key
    assert [one.architecture for one in read_gallery(study, {key})] == ["vit"]


def test_the_gallery_needs_no_torch(explained: Path) -> None:
    script = (
        "import sys; from analysis.explain.records.records_reader import read_gallery; from trainables.store.study import Study; "
        f"print(len(read_gallery(Study.open({str(explained)!r}))), 'torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False", "False"]


def test_help_needs_no_torch() -> None:
    script = "import sys; from analysis.gradcam import _parser; _parser().format_help(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_any_folder_is_explained_with_a_trained_stage(made: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "mine", tmp_path / "out"
    for number, (width, height) in enumerate([(64, 64), (90, 70), (40, 50)]):
        pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
        (folder / "deep").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "deep" / f"{number}.png")
    stage = "vit-Random-fold0-lr0.03-seed0"
    assert main([str(made), "--stage", stage, "--images", str(folder), "--out", str(out), "--steps", "2"]) == 0
    (file,) = out.glob("*.json")
    explained = Explained.model_validate(json.loads(file.read_text()))
    (figure,) = explained.figures
    assert [image.image_id for image in figure.images] == ["deep/0.png", "deep/1.png", "deep/2.png"]
    assert {image.label for image in figure.images} == {None}
    assert {check.check for check in explained.checks} == set(records.MEANING) - {records.IN_CELL, records.IN_NUCLEUS}
    assert (out / figure.png).is_file()


def test_another_layer_may_be_read(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--architecture", "cnn", "--classes", "basophil", "--count", "1", "--steps", "0"]
    assert main([study.storage.path(), *options, "--layer", "layer3"]) == 0
    (one,) = read_gallery(study)
    assert (one.layer, one.grid) == ("layer3", (6, 6))
    assert {check.check for check in one.checks} == {records.IN_CELL, records.IN_NUCLEUS}
    assert main([study.storage.path(), *options, "--layer", "layre3"]) == 2
    assert "no layer 'layre3'" in capsys.readouterr().err


def _drop_weights(folder: Path) -> None:
    for stage in (folder / "stages").iterdir():
        (stage / "weights.safetensors").unlink()
        result = json.loads((stage / "result.json").read_text())
        del result["digests"]["weights.safetensors"]
        result["weights"] = "dropped: keep_weights is pretrain"
        (stage / "result.json").write_text(json.dumps(result))


def _change_weights(folder: Path) -> None:
    for file in folder.glob("stages/*/weights.safetensors"):
        file.write_bytes(file.read_bytes()[:-1] + b"\1")


def _take_results(folder: Path) -> None:
    for file in folder.glob("stages/*/result.json"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop_weights, "were not kept (dropped: keep_weights is pretrain)"),
        (_change_weights, "its SHA-256 differs"),
        (_take_results, "nothing to explain: 2 planned cells do not count"),
        (lambda folder: (folder / "grid.yaml").write_text("{"), "grid.yaml cannot be read"),
        (lambda folder: (folder / "grid.yaml").unlink(), "grid.yaml is missing"),
        (lambda folder: (folder / "grid.yaml").write_text("target: x"), "does not say how the target is read"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_the_reason(
    folder: Path, spoil: Callable[[Path], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    assert main([str(folder), "--steps", "0"]) == 2
    assert message in capsys.readouterr().err
    assert not list(folder.glob("report/figures/*"))


def test_images_that_are_not_at_hand_are_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(folder.parent / ".cache")
    grid = (folder / "grid.yaml").read_text()
    assert "images_per_class: 12" in grid
    (folder / "grid.yaml").write_text(grid.replace("images_per_class: 12", "images_per_class: 11"))
    assert main([str(folder), "--steps", "0"]) == 2
    assert "are not those the study was made with" in capsys.readouterr().err
    (folder / "grid.yaml").write_text("target: cells\ndata: {cells: {reader: bone_marrow}}\n")
    assert main([str(folder), "--steps", "0"]) == 2
    assert "not available: no packed form of them" in capsys.readouterr().err


def test_images_are_prepared_anew_where_the_cache_is_gone(study: Study, folder: Path) -> None:
    shutil.rmtree(folder.parent / ".cache")
    wanted = ExplainRequest(["vit"], classes=["monocyte"], count=1, steps=0, data=folder)
    (one,) = explain_study(study, wanted)
    assert one.figures[0].images
    assert list((folder.parent / ".cache" / "data").glob("*/meta.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stage", "nosuch", "--images", "mine", "--out", "out"], "--stage nosuch names 0 stages"),
        (["--stage", "cnn-Random-fold0-lr0.03-seed0", "--images", "nowhere", "--out", "out"], "it is no folder"),
        (["--classes", "basofil"], "unknown class basofil; did you mean basophil"),
    ],
)
def test_bad_arguments_are_answered(
    made: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(made), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stage", "x"], "--stage, --images and --out go together"),
        (["--images", "x", "--out", "y"], "--stage, --images and --out go together"),
        (["--count", "0"], "--count must be at least 1"),
        (["--steps", "-1"], "--steps at least 0"),
        (["--stage", "x", "--images", "y", "--out", "z", "--classes", "a"], "--images explains a folder"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(
    made: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(made), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_method_of_another_distribution_is_drawn_checked_and_credited(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_cam.py").write_text(
        "from pytorch_grad_cam import LayerCAM\n"
        "from analysis.explain.methods.grad_cam import library_cam\n"
        "def layer_cam(network, images, targets):\n    return library_cam(LayerCAM, network, images, targets)\n"
    )
    info = tmp_path / "toy_cam-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-cam\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text("[scenario_sweep.explanations]\nLayerCAM = toy_cam:layer_cam\n")
    monkeypatch.syspath_prepend(tmp_path)
    _published.cache_clear()
    request = ExplainRequest(["cnn"], classes=["monocyte"], count=1, steps=2)
    (one,) = explain_study(study, request)
    _published.cache_clear()
    maps = {check.map for check in one.checks if check.check == records.DELETION}
    assert maps == {records.GRADCAM, records.PLUS_PLUS, "LayerCAM", records.GAUSSIAN, records.RANDOM}
    assert "LayerCAM is from toy-cam 0.3, not part of this package." in one.notes
