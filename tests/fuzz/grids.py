"""Hostile grids: ``python -m tests.fuzz.grids``. Each is planned, by ``sweep.run --plan``, and named on its command line."""

from __future__ import annotations

import copy
import io
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import yaml

import trainables.data.synthetic.generated  # noqa: F401 - before the fork, that a case need not
from sweep.run import main
from tests.fuzz.bounded import Case, command

BASE: dict[str, Any] = {
    "target": "cells",
    "data": {
        "cells": {"reader": "generated", "generator": "blood_cells", "images_per_class": 6, "size": 32},
        "tissue": {"reader": "generated", "generator": "tissue_patches", "images_per_class": 6, "size": 32},
    },
    "split": {"folds": 2, "val_fraction": 0.3, "seed": 0},
    "architectures": {"tiny": {"model": "timm/test_resnet", "options": {"drop_rate": 0.1}}},
    "scenarios": {"Random": {}, "Tissue": {"pretrain": "tissue"}},
    "axes": {
        "architecture": ["tiny"], "scenario": "all", "fold": [0, 1], "seed": [0], "learning_rate": [0.02, 0.05],
        "recipe.batch_size": [4, 8],
    },
    "zip": [["learning_rate", "recipe.batch_size"]],
    "exclude": [{"scenario": "Random", "fold": [1]}],
    "defaults": [{"match": {"kind": "finetune", "fold": 0}, "set": {"epochs": 2}}],
    "recipe": {"image_size": 32, "batch_size": 8, "optimizer": "sgd", "precision": "auto", "weight_decay": 0.0001},
    "pretrain": {"epochs": 2, "learning_rate": 0.02},
    "finetune": {"epochs": 2},
}  # fmt: skip
"""A good grid, in which single places are spoilt."""
VALUES: list[Any] = [
    0, 1, -1, 2**31, 2**63, 2**64, 10**300, 10**9, 1.5, 1e-320, float("nan"), float("inf"), -0.0, True, False, None, "", " ", "1", "1e-2",
    "0x10", "nan", "all", "auto", [], {}, [[]], [None], [1, 1], [1, "1"], {"a": {}}, {1: 2}, {None: 3}, {True: 1}, "x" * 230, "x" * 100_000,
    "é", "e\u0301", "\x1b[31m", "a\nb", "a\tb", "../../x", "/etc/passwd", "~", "$(touch x)", "%s{0}", "\u202e", "🧬", "-", ".", "..", "a/b",
    "torch.hub:load", "os:system", "sweep.run:main", "timm/nothing", "timm/", "timm", "torchvision/", "hf-hub:x/y", "local-dir:/tmp", ":",
    {"range_test": {}}, {"range_test": {"steps": 10**9}}, {"range_test": {"start": 1, "end": 0.1}}, {"table": {}}, {"times": [1]},
    {"table": {"Random": {"tiny": "x"}}, "times": [0]}, [0.1] * 5000, list(range(3000)), {"grid": [1e-300, 1e300, 3]}, [{"a": 1}, {"a": 1}],
    {"reader": "image_folder", "path": "/"}, {"reader": "parquet", "path": "/dev/zero"}, {"start": "cells", "pretrain": "tissue"},
]  # fmt: skip
KEYS = [
    "target", "data", "split", "architectures", "scenarios", "axes", "zip", "exclude", "defaults", "recipe", "pretrain", "finetune", "weights",
    "edition", "keep_weights", "match", "set", "start", "fold", "seed", "reader", "path", "recipe.epochs", "data.cells.size", "seeds", "epochs",
    "name", "rule_values", "range_test", "upstream", "é", "\x1b", "a.b.c", ".", "", 1, None, True, 1.5, "x" * 230, "__class__", "model_fields",
]  # fmt: skip
TEXTS = [
    "", "{}", "[]", "a", "null", "3", "- a", "a: b", "target: !!python/object/apply:os.system [touch x]", "target: !!python/name:os.system",
    "target: &a [*a]", "a: &a {b: *a}", "<<: 3", "? [a]\n: b", "? {a: b}\n: c", "\0", "\ud800", "target: \"\\ud800\"", "a: b: c", "\ta: b",
    "target: 2026-12-01", "target: !!binary aGk=", "target: !!set {a}", "target: !!timestamp x", "target: !!float x", "target: !!int 1_",
    "target: " + "9" * 5000, "axes: " + "[" * 2000, "axes: " + "{a: " * 2000, "%YAML 9.9\n---\na: b", "--- a\n--- b", "!!x", "a: !x y",
    "a: &l [x,x,x,x,x,x,x,x,x]\nb: &m [*l,*l,*l,*l,*l,*l,*l,*l,*l]\nc: &n [*m,*m,*m,*m,*m,*m,*m,*m,*m]\nd: &o [*n,*n,*n,*n,*n,*n,*n,*n,*n]\n"
    "e: &p [*o,*o,*o,*o,*o,*o,*o,*o,*o]\nf: [*p,*p,*p,*p,*p,*p,*p,*p,*p]", "target: a\ntarget: b", "target: 1:30:00", "target: =", "\ufefftarget: a",
]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all mappings and lists."""
    if isinstance(value, dict | list):
        yield at
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*at, key))


def spoil(rng: random.Random, grid: dict[str, Any]) -> None:
    """Change one place of a grid: a value, a key, one more or one less."""
    inside: Any = grid
    for key in rng.choice(list(places(grid))):
        inside = inside[key]
    keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
    value = copy.deepcopy(rng.choice(VALUES))
    what = rng.choice(["value", "value", "value", "more", "less", "key", "move"])
    if what == "more" or not keys:
        if isinstance(inside, dict):
            inside[rng.choice(KEYS)] = value
        else:
            inside.append(value)
    elif what == "less":
        del inside[rng.choice(keys)]
    elif what == "key" and isinstance(inside, dict):
        inside[rng.choice(KEYS)] = inside.pop(rng.choice(keys))
    elif what == "move":
        inside[rng.choice(keys)] = copy.deepcopy(inside[rng.choice(keys)])
    else:
        inside[rng.choice(keys)] = value


def plan(place: Path, text: str, *more: str) -> int:
    """Plan a grid; no code of it may run."""
    file = place / "grid.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        return main(["--grid", str(file), "--plan", "--storage", str(place / "studies"), *more])
    finally:
        assert not (place / "x").exists(), "code of the grid ran"


def import_first() -> None:
    """Import in this process what a refused grid needs: each case would, after its fork."""
    with tempfile.TemporaryDirectory() as place, redirect_stderr(io.StringIO()):
        plan(Path(place), yaml.safe_dump({**BASE, "absent": 1}))


def trees(rng: random.Random, place: Path) -> int:
    """A good grid with some places spoilt."""
    grid = copy.deepcopy(BASE)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        spoil(rng, grid)
    return plan(
        place,
        yaml.safe_dump(grid, allow_unicode=rng.random() < 0.5, sort_keys=False),
        *rng.choice([[], [], ["--json"]]),
    )


def texts(rng: random.Random, place: Path) -> int:
    """The text of a grid with characters or lines changed, or with YAML that few write."""
    text = yaml.safe_dump(BASE, sort_keys=False)
    how = rng.choice(["characters", "lines", "odd", "odd line"])
    if how == "characters":
        letters = list(text)
        for _ in range(rng.choice([1, 3, 20])):
            letters[rng.randrange(len(letters))] = rng.choice("{}[]:,&*!|>%@`'\"#-? \n\t0a\0\x85\u2028é")
        text = "".join(letters)
    elif how == "lines":
        lines = text.splitlines()
        for _ in range(rng.choice([1, 3])):
            lines[rng.randrange(len(lines))] = rng.choice([*lines, "", "  " + rng.choice(lines)])
        text = "\n".join(lines)
    elif how == "odd":
        text = rng.choice(TEXTS)
    else:
        text += rng.choice(TEXTS)
    return plan(place, text)


def settings(rng: random.Random, place: Path) -> int:
    """A good grid with odd ``--set`` options and names."""
    options: list[str] = []
    for _ in range(rng.choice([1, 2])):
        key = rng.choice(
            [
                *map(str, KEYS),
                "axes.recipe.batch_size",
                "recipe.epochs",
                "data.cells.size",
                "split.folds",
                "axes.fold",
                "data.x.y",
            ]
        )
        value = rng.choice([*TEXTS, *(yaml.safe_dump(one, default_flow_style=True) for one in VALUES)])
        options += ["--set", rng.choice([f"{key}={value}", f"{key}={value}", key, f"={value}", f"{key}=={value}"])]
    if rng.random() < 0.3:
        name, value = (
            rng.choice(
                [
                    "--study",
                    "--gpus",
                    "--device",
                    "--deadline",
                    "--max-cost",
                    "--price",
                    "--cell",
                    "--reuse",
                    "--widest",
                ]
            ),
            rng.choice(VALUES),
        )
        options += [f"{name}={value}"]
    return plan(place, yaml.safe_dump(BASE), *options)


CASES: dict[str, Case] = {one.__name__: one for one in (trees, texts, settings)}

if __name__ == "__main__":
    import_first()
    sys.exit(command(__doc__, CASES))
