"""A model taken away loads with its library alone, and says the same as in the study."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.export import best_of_row, export, main
from analysis.inference.model_card import arguments, config
from analysis.inference.trained_model import TrainedModel, find_trained
from trainables.models.backbones import build
from trainables.models.weights import pack_weights
from trainables.specs import ModelSpec


def test_the_card_loads_it_with_timm_and_logits_are_the_same(trained: Any, tmp_path: Path) -> None:
    """The code blocks of the card are run, in a process that knows nothing of this project."""
    out = tmp_path / "model"
    assert main([str(trained.root), "--stage", "tiny-Tissue-fold1", "--out", str(out)]) == 0
    blocks = re.findall(r"```python\n(.*?)```", (out / "README.md").read_text(), re.S)
    assert len(blocks) == 2
    image = next(trained.images.rglob("*.png"))
    code = "\n".join(blocks).replace("FOLDER", str(out)).replace("cell.png", str(image))
    code += "\nimport torch\ntorch.manual_seed(0)\nprint(json.dumps(model(torch.rand(2, 3, 32, 32)).tolist()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    said, logits = done.stdout.splitlines()
    module = find_trained(trained.study, "tiny-Tissue-fold1").backbone().module
    torch.manual_seed(0)
    with torch.inference_mode():
        expected = module(torch.rand(2, 3, 32, 32))
    assert np.array(json.loads(logits)) == pytest.approx(expected.numpy(), abs=1e-5)
    assert said.split()[0] in sorted(path.name for path in trained.images.iterdir())


@pytest.mark.parametrize("model", ["torchvision/squeezenet1_1", "timm/test_vit"])
def test_the_config_is_enough_for_every_library(trained: Any, tmp_path: Path, model: str) -> None:
    """Networks whose constructor depends on the image size too."""
    found = find_trained(trained.study, "tiny-Tissue-fold1")
    size = 64
    stage = found.stage.model_copy(
        update={"model": ModelSpec(model=model), "recipe": found.stage.recipe.model_copy(update={"image_size": size})}
    )
    content = pack_weights(build(stage.model, size, len(stage.data.classes)).module.state_dict())
    digest = found.folder.storage.write("stages/x/weights.safetensors", content)
    folder = type(found.folder)(found.folder.storage, "x")
    other = TrainedModel(stage, {**found.result, "digests": {"weights.safetensors": digest}}, folder)
    described = config(other)
    export(trained.study, other, tmp_path / "model")
    loader = re.findall(r"```python\n(.*?)```", (tmp_path / "model" / "README.md").read_text(), re.S)[0]
    names: dict[str, Any] = {}
    exec(loader.replace("FOLDER", str(tmp_path / "model")), names)  # noqa: S102 - our own card
    pixels = torch.rand(1, 3, size, size)
    with torch.inference_mode():
        assert torch.allclose(names["model"](pixels), other.backbone().module(pixels), atol=1e-5)
    assert described["label_names"] == list(stage.data.classes)


def test_constructors_are_told_the_size_where_they_need_it() -> None:
    assert arguments(ModelSpec(model="torchvision/vit_b_32"), 64) == {"image_size": 64}
    assert arguments(ModelSpec(model="torchvision/resnet18"), 64) == {}
    assert arguments(ModelSpec(model="timm/test_vit", options={"patch_size": 8}), 64) == {
        "patch_size": 8,
        "img_size": 64,
    }


def test_newer_timm_loads_the_folder_as_it_is(trained: Any, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", "1.0.16")
    export(trained.study, find_trained(trained.study, "tiny-Tissue-fold1"), tmp_path / "m")
    model = timm.create_model(f"local-dir:{tmp_path / 'm'}", pretrained=True).eval()
    pixels = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        expected = find_trained(trained.study, "tiny-Tissue-fold1").backbone().module(pixels)
        assert torch.allclose(model(pixels), expected, atol=1e-6)


@pytest.fixture(autouse=True)
def _tidy(trained: Any) -> Any:
    import shutil

    yield
    shutil.rmtree(trained.root / "stages" / "x", ignore_errors=True)


def test_the_card_says_where_it_comes_from(trained: Any, tmp_path: Path) -> None:
    assert main([str(trained.root), "--stage", "tiny-Random-fold0", "--out", str(tmp_path / "m")]) == 0
    text = (tmp_path / "m" / "README.md").read_text()
    found = find_trained(trained.study, "tiny-Random-fold0")
    for expected in (str(found.stage.key), found.digest, f"{found.result['metrics']['test_f1_macro']:.3f}", "fold 0"):
        assert expected in text
    assert "None" not in text.partition("## Load it")[0]


def test_of_a_row_the_best_run_by_val_is_taken(trained: Any, tmp_path: Path) -> None:
    found = best_of_row(trained.study, "tiny,Random")
    scores = {
        fold: find_trained(trained.study, f"tiny-Random-fold{fold}").result["metrics"]["val_f1_macro"]
        for fold in range(3)
    }
    assert scores[int(str(found.stage.fold))] == max(scores.values())


def test_a_folder_in_use_and_dropped_weights_are_refused(
    own_trained: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    assert main([str(own_trained.root), "--row", "tiny,Random", "--out", str(tmp_path / "full")]) == 2
    assert "is there already" in capsys.readouterr().err
    found = find_trained(own_trained.study, "tiny-Random-fold0")
    digests = {name: digest for name, digest in found.result["digests"].items() if name != "weights.safetensors"}
    found.folder.commit({**found.result, "digests": digests, "weights": "dropped: keep_weights is pretrain"})
    assert main([str(own_trained.root), "--stage", "tiny-Random-fold0", "--out", str(tmp_path / "m")]) == 2
    assert "were not kept (dropped: keep_weights is pretrain)" in capsys.readouterr().err
