"""Harm done to a folder that holds a study or a bundle, as a stranger or a broken disk might."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.specs import ModelSpec, Stage

SECRET = b"the secret of another file " * 4
"""Content of a file beside the study."""
ODD: list[Any] = [
    None, True, 0, -1, 1.5, 2**63, 10**300, -(10**400), 1e308, float("nan"), float("inf"), "", "x" * 230, "x" * 5000, "\ud800", "\0",
    "../../victim", "../../../victim", "/etc/passwd", "/dev/zero", ".", "..", "a/b", "a\\b", "C:x", "\x1b[31mred", "two\nlines",
    "=1+1", "@x", "<script>", "{{7*7}}", "🧬", "\u202eltr", [], {}, [[]], [1, "a", None], {"a": {"b": 1}}, {"../../victim": "0" * 64},
]  # fmt: skip
RAW = [
    b"", b"null", b"[]", b"{}", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}", b"9" * 5000, b'"\\ud800"', b"NaN", b"\0" * 100,
    b"&a [*a, *a]", b"!!python/object/apply:os.system [touch x]", b"a: &x [1, 2]\nb: *x", b"? [1, 2]\n: 3", b"!!timestamp x", b"- a\nb: c",
    b"a: !!binary x", b"a: 2026-13-45", b"%TAG ! x", b"{<<: 3}", b"a: 1:99:99", b"a: " + b"9" * 5000, b"!!set {a}", b"\t- x", b"x" * 1_000_000,
]  # fmt: skip
BOMB = (
    "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{y}: &{y} [{', '.join([f'*{x}'] * 9)}]\n" for x, y in zip("abcdefg", "bcdefgh", strict=True))
).encode()


def harm(rng: random.Random, folder: Path) -> None:
    """Harm one file of a folder, or put one there.

    Args:
        rng: chooses what is done.
        folder: of a study or a bundle.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    kinds: list[Callable[[random.Random, Path, list[Path]], None]] = [
        _values, _values, _values, _raw, _bytes, _special, _extra, _digests, _columns, _columns, _model, _upstream, _record, _folder_link,
    ]  # fmt: skip
    rng.choice(kinds)(rng, folder, files)


def _of(rng: random.Random, files: list[Path], *endings: str) -> Path:
    return rng.choice([file for file in files if file.name.endswith(endings)] or files)


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value), encoding="utf-8")


def _load(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return {}


def _values(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """Odd values anywhere in a JSON file, or the wrong keys."""
    file = _of(rng, files, ".json", ".yaml")
    document = _load(file)
    places = list(_places(document))
    for _ in range(rng.choice([1, 1, 3])):
        if places:
            container, key = rng.choice(places)
            value = rng.choice(ODD)
            if isinstance(container, dict) and rng.random() < 0.2:
                container[str(rng.choice(ODD))] = value
            elif isinstance(container, list) or key in container:
                container[key] = value
    _write(file, document)


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _raw(rng: random.Random, folder: Path, files: list[Path]) -> None:
    _of(rng, files, ".json", ".yaml").write_bytes(rng.choice([*RAW, BOMB]))


def _bytes(rng: random.Random, folder: Path, files: list[Path]) -> None:
    file = rng.choice(files)
    content = bytearray(file.read_bytes() or b"x")
    for _ in range(rng.choice([1, 20])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    file.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.4 else content)


def _special(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """No regular file where one was."""
    file = rng.choice([_of(rng, files, ".json", ".yaml", ".parquet", ".safetensors"), rng.choice(files)])
    file.unlink()
    _put_special(rng, folder, file)


def _put_special(rng: random.Random, folder: Path, file: Path) -> None:
    kind = rng.choice(["fifo", "zero", "out", "loop", "folder", "nowhere", "gone"])
    if kind == "fifo":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind != "gone":
        targets = {
            "zero": Path("/dev/zero"),
            "out": folder.parent / "victim",
            "loop": file,
            "nowhere": Path("/no/such"),
        }
        file.symlink_to(targets[kind])


def _folder_link(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """A folder that is a link out of the study, or to itself."""
    inner = rng.choice(
        [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()] or [folder / "x"]
    )
    shutil.rmtree(inner, ignore_errors=True)
    inner.parent.mkdir(parents=True, exist_ok=True)
    inner.symlink_to(rng.choice([folder.parent / "victims", folder, Path("/dev"), folder.parent]))


def _extra(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """A further file with an odd name, or of an odd kind."""
    inside = rng.choice(
        ["splits", "report/figures", "report", "stages", "stages/x", "stages/finetune-x-0000000000000000"]
    )
    name = rng.choice(
        [
            "x" * 230,
            "\x1b[31m",
            "two\nlines",
            "-rf",
            "=1",
            "🧬",
            " ",
            "a.json",
            "result.json",
            "\udcff",
            "explanation-x.json",
        ]
    )
    target = folder / inside / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if rng.random() < 0.5:
            target.write_bytes(rng.choice([b"{}", SECRET[:5], b""]))
        elif not target.exists():
            _put_special(rng, folder, target)
    except OSError:
        pass  # an earlier harm is in the way


def _digests(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """Names of files in a result that lead out of the folder, with digests that fit."""
    file = _of(rng, files, "result.json", "MANIFEST.json")
    document = _load(file)
    if isinstance(document, dict):
        outside = file.parent / rng.choice(["../../../victim", "../../study.json", "stage.json", "/etc/hostname"])
        digest = hashlib.sha256(outside.read_bytes() if outside.is_file() else b"").hexdigest()
        name = rng.choice(
            ["../../../victim", "../../study.json", "stage.json", "/etc/hostname", "a/b", "", "x" * 300, "result.json"]
        )
        key = "files" if file.name == "MANIFEST.json" else "digests"
        entry = {"sha256": digest, "bytes": rng.choice([108, 10**18, -1])} if key == "files" else digest
        held = document.get(key)
        document[key] = {**(held if isinstance(held, dict) else {}), name: entry}
        _write(file, document)


def _columns(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """Tables with columns of other types, and others than they should have, with digests that fit."""
    file = _of(rng, files, ".parquet")
    try:
        table = pq.read_table(file)
    except (OSError, ValueError, pa.ArrowException):
        return
    count = table.num_rows
    odd: list[Callable[[], Any]] = [
        lambda: pa.nulls(count),
        lambda: pa.array(["\x1b[31m\n"] * count),
        lambda: pa.array([2**62] * count),
        lambda: pa.array([float("nan")] * count),
        lambda: pa.array([b"\xff\xfe"] * count),
        lambda: pa.array([["a"]] * count),
        lambda: pa.array([{"a": 1}] * count),
        lambda: pa.array([10**15] * count, pa.timestamp("s")),
        lambda: pa.array(["a"] * count).dictionary_encode(),
        lambda: pa.array(["x" * 100_000]).take(pa.array([0] * count)),
    ]
    place = rng.randrange(table.num_columns) if table.num_columns else 0
    if rng.random() < 0.1 or not table.num_columns:
        table = rng.choice([table.slice(0, 0), table.slice(0, 1), pa.table({}), pa.concat_tables([table, table])])
    elif rng.random() < 0.2:
        table = table.append_column(table.column_names[place], table.column(place))
    else:
        table = table.set_column(place, rng.choice([table.column_names[place]] * 4 + ["odd"]), rng.choice(odd)())
    pq.write_table(table, file)
    result = _load(file.parent / "result.json") if (file.parent / "result.json").is_file() else {}
    if isinstance(result, dict) and isinstance(result.get("digests"), dict) and file.name in result["digests"]:
        result["digests"][file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        _write(file.parent / "result.json", result)


def _model(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """A network that runs code or opens files, with keys that fit in the stage, the result and the plan."""
    file = _of(rng, files, "/stage.json", "stage.json")
    try:
        stage = Stage.from_document(_load(file))
    except (ValueError, TypeError):
        return
    options: dict[str, Any] = rng.choice(
        [
            {},
            {"checkpoint_path": "../../victim"},
            {"pretrained_cfg_overlay": {"mean": [0, 0, 0]}},
            {"width": 10**9},
            {"layers": [10**5] * 4},
        ]
    )
    names = [
        "torch.hub:load",
        "os:system",
        "timm/local-dir:/tmp",
        "timm/hf-hub:x/y",
        "timm/test_resnet",
        "torchvision/resnet18",
        "x",
        "",
    ]
    changed = stage.model_copy(update={"model": ModelSpec.model_construct(model=rng.choice(names), options=options)})
    _write(file, changed.document())
    old, new = str(stage.key), str(changed.key)
    for other in (folder / "plan.json", *(path for path in file.parent.glob("result.json"))):
        if other.is_file():
            other.write_bytes(other.read_bytes().replace(old.encode(), new.encode()))
    target = file.parent.with_name(file.parent.name.replace(old[:16], new[:16]))
    if not target.exists():
        file.parent.rename(target)


def _upstream(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """Stages of the plan that need each other, or themselves."""
    file = folder / "plan.json"
    document = _load(file) if file.is_file() else {}
    stages = document.get("stages") if isinstance(document, dict) else None
    if isinstance(stages, list) and all(isinstance(stage, dict) for stage in stages):
        for stage in stages:
            stage["upstream"] = [rng.choice(stages).get("key")]
        _write(file, document)


def _record(rng: random.Random, folder: Path, files: list[Path]) -> None:
    """Records of explanations whose figures lie elsewhere."""
    records = [file for file in files if file.suffix == ".json" and file.parent.name == "figures"]
    for file in records:
        text = file.read_text(encoding="utf-8", errors="replace")
        document = _load(file)
        names = [value[key] for value, key in _places(document) if str(value[key]).endswith((".png", ".svg"))]
        for name in names[: rng.choice([1, 10])]:
            text = text.replace(
                json.dumps(name),
                json.dumps(rng.choice(["../../../victim", "../../study.json", "/etc/x", "", "../index.html"])),
            )
        file.write_text(text, encoding="utf-8", errors="replace")
