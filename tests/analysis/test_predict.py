"""Scoring other folders: the study's own images give the study's own logits back, and labels are never guessed."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score

from analysis.predict import main

Rows = list[dict[str, str]]


def run(study: Any, images: Path, out: Path, *more: str, row: str = "tiny,Tissue") -> tuple[int, Rows, dict[str, Any]]:
    which = () if "--stage" in more else ("--row", row)
    status = main([str(study.root), *which, "--images", str(images), "--out", str(out), *more])
    if status:
        return status, [], {}
    return status, list(csv.DictReader(out.open())), json.loads(out.with_name(f"{out.name}.json").read_text())


def stored(study: Any, stage: str) -> dict[str, np.ndarray]:
    """Return image -> softmax of the logits that a stage left behind."""
    (name,) = (folder.name for folder in study.study.folders() if f"-{stage}-" in folder.name)
    table = study.study.storage.read_table(f"stages/{name}/predictions.parquet")
    logits = np.array(table["logits"].to_pylist(), np.float64)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return dict(zip(table["image_id"].to_pylist(), exponents / exponents.sum(axis=1, keepdims=True), strict=True))


def probabilities(rows: Rows) -> dict[str, np.ndarray]:
    return {r["image_id"]: np.array([float(v) for k, v in r.items() if k.startswith("p_")]) for r in rows}


def test_a_stage_says_of_its_test_images_what_it_said_in_the_study(trained: Any, tmp_path: Path) -> None:
    _, rows, document = run(trained, trained.images, tmp_path / "p.csv", "--stage", "tiny-Random-fold1")
    said, expected = probabilities(rows), stored(trained, "tiny-Random-fold1")
    assert len(expected) > 20
    for image, values in expected.items():
        assert said[image] == pytest.approx(values, abs=1e-5)
    assert [net["fold"] for net in document["nets"]] == [1]
    assert document["also_in_study"] == len(rows) == 54


def test_a_stage_is_named_by_key_or_folder_too(trained: Any, tmp_path: Path) -> None:
    (folder,) = (one for one in trained.study.folders() if "-tiny-Random-fold1-" in one.name)
    key = str((folder.result() or {})["key"])
    for number, name in enumerate((key, key[:8], folder.name)):
        _, _, document = run(trained, trained.images, tmp_path / f"{number}.csv", "--stage", name)
        assert [net["key"] for net in document["nets"]] == [key]


def test_a_row_is_the_mean_of_the_softmax_of_its_folds(trained: Any, tmp_path: Path) -> None:
    single = [
        probabilities(run(trained, trained.images, tmp_path / f"{f}.csv", "--stage", f"tiny-Tissue-fold{f}")[1])
        for f in range(3)
    ]
    _, rows, document = run(trained, trained.images, tmp_path / "row.csv")
    assert sorted(net["fold"] for net in document["nets"]) == [0, 1, 2]
    for image, values in probabilities(rows).items():
        assert values == pytest.approx(np.mean([one[image] for one in single], axis=0), abs=1e-6)
        assert values.sum() == pytest.approx(1)


def test_labelled_images_are_scored_as_in_scikit_learn(
    trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, rows, document = run(trained, trained.images, tmp_path / "p.csv")
    labels, predicted = ([row[key] for row in rows] for key in ("label", "predicted"))
    scores = document["scores"]
    assert scores["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert scores["f1_macro"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
    shown = capsys.readouterr().out
    assert f"accuracy {scores['accuracy']:.3f}" in shown
    assert "have the path of an image of the study" in shown


def test_a_folder_without_labels(trained: Any, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted(trained.images.rglob("*.png"))[:7]):
        shutil.copy(file, flat / f"{number}.png")
    _, rows, document = run(trained, flat, tmp_path / "p.csv")
    assert len(rows) == 7
    assert {row["label"] for row in rows} == {""}
    assert "scores" not in document
    assert document["also_in_study"] == 0


def test_other_sizes_and_broken_files(trained: Any, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    file = next(trained.images.rglob("*.png"))
    Image.open(file).resize((90, 60)).save(odd / "wide.png")
    Image.open(file).convert("L").save(odd / "grey.png")
    (odd / "broken.png").write_bytes(file.read_bytes()[:60])
    (odd / "text.png").write_text("no image")
    _, rows, document = run(trained, odd, tmp_path / "p.csv")
    assert {row["image_id"] for row in rows} == {"wide.png", "grey.png"}
    assert sorted(document["undecodable"]) == ["broken.png", "text.png"]
    assert (
        document["undecodable"]["text.png"]
        == "the content is not of a format that is read: PNG, JPEG, TIFF, BMP, WEBP, GIF"
    ), "the same in each call"


def renamed(trained: Any, tmp_path: Path) -> tuple[Path, list[str]]:
    """Return a copy of the images under other names of classes, and the study's names."""
    classes = sorted(path.name for path in trained.images.iterdir())
    for number, name in enumerate(classes):
        shutil.copytree(trained.images / name, tmp_path / "theirs" / f"type {number}")
    return tmp_path / "theirs", classes


def test_a_mapping_names_classes_and_leaves_out(trained: Any, tmp_path: Path) -> None:
    theirs, classes = renamed(trained, tmp_path)
    mapping = tmp_path / "m.yaml"
    mapping.write_text("\n".join(f"type {i}: {c if i else 'null'}" for i, c in enumerate(classes)))
    _, rows, document = run(trained, theirs, tmp_path / "p.csv", "--mapping", str(mapping))
    assert len(rows) == 45
    assert {row["label"] for row in rows} == set(classes[1:])
    assert document["left_out"] == {"type 0": 9}
    assert document["scores"]["classes"][0]["support"] == 0
    assert document["scores"]["f1_macro_present"] > document["scores"]["f1_macro"]


def test_unknown_names_are_never_guessed(trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs, classes = renamed(trained, tmp_path)
    _, rows, _ = run(trained, theirs, tmp_path / "p.csv")
    assert {row["label"] for row in rows} == {""}
    assert "count as unlabelled" in capsys.readouterr().out
    (theirs / "type 0").rename(theirs / classes[0])
    assert run(trained, theirs, tmp_path / "q.csv")[0] == 2
    assert "the sub-folder type 1 of" in capsys.readouterr().err
    mapping = tmp_path / "m.json"
    mapping.write_text(json.dumps({f"type {i}": f"{c}x" for i, c in enumerate(classes)}))
    assert run(trained, theirs, tmp_path / "q.csv", "--mapping", str(mapping))[0] == 2
    assert f"did you mean {classes[1]}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--row", "tiny,Tissues"), "did you mean tiny,Tissue"),
        (("--stage", "zzzzzz"), "names 0 stages"),
        (("--row", "tiny,Tissue", "--mapping", "none.yaml"), "cannot be read"),
    ],
)
def test_mistakes_are_named(
    trained: Any, tmp_path: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [str(trained.root), *arguments, "--images", str(trained.images), "--out", str(tmp_path / "p.csv")]
    assert main(asked) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


def test_weights_are_verified_before_use(own_trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = (folder for folder in own_trained.study.folders() if "-tiny-Tissue-fold0-" in folder.name)
    file = own_trained.root / "stages" / folder.name / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    assert run(own_trained, own_trained.images, tmp_path / "p.csv")[0] == 2
    assert "is not what the stage wrote" in capsys.readouterr().err


def test_parquet_out_holds_the_same(trained: Any, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    _, rows, _ = run(trained, trained.images, tmp_path / "p.csv")
    out = tmp_path / "p.parquet"
    assert main([str(trained.root), "--row", "tiny,Tissue", "--images", str(trained.images), "--out", str(out)]) == 0
    table = pq.read_table(out).to_pylist()
    assert [row["predicted"] for row in table] == [row["predicted"] for row in rows]
