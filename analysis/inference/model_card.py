"""The config and the model card written beside an exported model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.inference.trained_model import TrainedModel
    from trainables.specs import ModelSpec
    from trainables.store.study import Study

LOADERS = {
    "timm": """import json, timm
config = json.load(open("FOLDER/config.json"))
model = timm.create_model(  # newer versions of timm: timm.create_model("local-dir:FOLDER", pretrained=True)
    config["architecture"], num_classes=config["num_classes"], checkpoint_path="FOLDER/model.safetensors",
    **config["model_args"],
)
model.eval()""",
    "torchvision": """import json
from safetensors.torch import load_file
from torchvision.models import get_model
config = json.load(open("FOLDER/config.json"))
model = get_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
model.load_state_dict(load_file("FOLDER/model.safetensors"))
model.eval()""",
    "own": """import json
from importlib import import_module
from safetensors.torch import load_file
config = json.load(open("FOLDER/config.json"))
module, name = config["architecture"].split(":")
model = getattr(import_module(module), name)(num_classes=config["num_classes"], **config["model_args"])
model.load_state_dict(load_file("FOLDER/model.safetensors"))
model.eval()""",
}
USE = """from PIL import Image, ImageOps
from torchvision.transforms.functional import normalize, pil_to_tensor
edge = config["pretrained_cfg"]["input_size"][-1]
image = ImageOps.fit(Image.open("cell.png").convert("RGB"), (edge, edge), Image.Resampling.BILINEAR)
pixels = pil_to_tensor(image).float() / 255
pixels = normalize(pixels, config["pretrained_cfg"]["mean"], config["pretrained_cfg"]["std"])
probabilities = model(pixels[None]).softmax(1)[0]
print(config["label_names"][int(probabilities.argmax())], float(probabilities.max()))"""
CARD = """# {name}

{architecture}, scenario {scenario}, fold {fold}, trained on {data} ({classes} classes) in the study {study}.

| part | macro F1 | macro precision | macro recall | macro MCC | accuracy |
|---|---:|---:|---:|---:|---:|
{scores}

The test part is that of fold {fold}: images the model was not trained on, scored once. Epoch {epoch} was chosen on
{selected_on}. These are the scores of this one model, not the mean over folds that a paper would print. On images of
another origin (scanner, stain, laboratory) they need not hold; it is not for clinical use.

## Load it

```python
{loader}
```

```python
{use}
```

The study's own evaluation scales with OpenCV's bilinear warp instead of Pillow's, so probabilities may differ a
little; `python -m analysis.predict` is exact.

## Where it comes from

- study `{uid}`, stage `{key}`, split `{split}`, data `{fingerprint}`
- weights `{digest}` (SHA-256 of model.safetensors); started from {initial}
- learning rate {rate:g}; recipe: `{recipe}`
- ran with {environment}
"""


def config(trained: TrainedModel) -> dict[str, Any]:
    """Return the content of ``config.json``: timm loads it directly, torchvision's constructors take parts of it."""
    stage = trained.stage
    library, _, name = stage.model.model.partition("/")
    backbone = trained.backbone()
    edge = stage.recipe.image_size
    return {
        "architecture": name if library in ("timm", "torchvision") else stage.model.model,
        "library": library if library in ("timm", "torchvision") else "own",
        "num_classes": len(trained.classes),
        "label_names": list(trained.classes),
        "model_args": arguments(stage.model, edge),
        "pretrained_cfg": {
            "input_size": [3, edge, edge],
            "mean": list(backbone.mean),
            "std": list(backbone.std),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "num_classes": len(trained.classes),
        },
        "packed_size": stage.data.size,
    }


def arguments(model: ModelSpec, edge: int) -> dict[str, Any]:
    """Return the arguments of a network's constructor besides the number of classes.

    Args:
        model: specification of the network.
        edge: of the input, pixels.
    """
    library, _, name = model.model.partition("/")
    given = dict(model.options)
    if library == "torchvision" and name.startswith("vit_"):
        given["image_size"] = edge
    if library == "timm":
        from timm import get_pretrained_cfg

        known = get_pretrained_cfg(name)
        if known is not None and known.fixed_input_size:
            given.setdefault("img_size", edge)
    return given


def card(study: Study, trained: TrainedModel, library: str) -> str:
    """Return the model card as Markdown.

    Args:
        study: the study.
        trained: its network.
        library: ``timm``, ``torchvision`` or ``own``: how the network is loaded.
    """
    stage, result, header = trained.stage, trained.result, study.header or {}
    environment = {name: value for name, value in (result.get("environment") or {}).items() if name != "process"}
    return CARD.format(
        name=stage.name,
        architecture=stage.architecture,
        scenario=stage.scenario,
        fold="none" if stage.fold is None else stage.fold,
        data=stage.data.name,
        classes=", ".join(trained.classes),
        study=header.get("name"),
        scores="\n".join(_scores(result.get("metrics") or {}, part) for part in ("val", "test")),
        epoch=result.get("selected_epoch"),
        selected_on=result.get("selected_on"),
        loader=LOADERS[library],
        use=USE,
        uid=header.get("uid"),
        key=stage.key,
        split=stage.split,
        fingerprint=stage.data.fingerprint,
        digest=trained.digest,
        initial=json.dumps(stage.initial.model_dump(mode="json")),
        rate=result.get("learning_rate") or stage.learning_rate,
        recipe=json.dumps(stage.recipe.model_dump(mode="json")),
        environment=json.dumps(environment, ensure_ascii=False),
    )


def _scores(metrics: Mapping[str, Any], part: str) -> str:
    names = ("f1_macro", "precision_macro", "recall_macro", "mcc_macro", "accuracy")
    values = [metrics.get(f"{part}_{name}") for name in names]
    return f"| {part} | {' | '.join('–' if value is None else f'{value:.3f}' for value in values)} |"
