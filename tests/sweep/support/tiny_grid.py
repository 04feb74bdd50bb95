"""The small complete grid of these tests: 1 pre-training stage, 8 cells."""

from __future__ import annotations


def tiny_grid(images: int, pretrain_epochs: int, finetune_epochs: int) -> str:
    """Return it as YAML, with so many images of each class."""
    return f"""\
target: cells
data:
  cells: {{reader: generated, generator: blood_cells, images_per_class: {images}, size: 32}}
  tissue: {{reader: generated, generator: tissue_patches, images_per_class: {images}, size: 32}}
split: {{folds: 2, val_fraction: 0.3}}
architectures:
  tiny: {{model: timm/test_resnet}}
scenarios:
  Random: {{}}
  Tissue: {{pretrain: tissue}}
axes:
  architecture: [tiny]
  learning_rate: [0.02, 0.05]
recipe: {{image_size: 32, batch_size: 8}}
pretrain: {{epochs: {pretrain_epochs}, learning_rate: 0.02}}
finetune: {{epochs: {finetune_epochs}}}
"""
