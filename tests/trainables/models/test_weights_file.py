"""What a file of weights is, and what it holds, told without torch."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trainables.errors import UserError
from trainables.models.weights_file import (
    chosen_set,
    format_of,
    safetensors_shapes,
    summary,
    unwrapped_names,
    wrapper,
)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n"
NO_WEIGHTS = {
    "a Git LFS pointer": POINTER,
    "an HTML page ('Sign in')": b"\n <!DOCTYPE html><html><head><title>\nSign in</title>",
    "an HTML page,": b"<html>404</html>",
    "JSON text": b'{\n "weight_map": {}}',
    "an HDF5 file": b"\x89HDF\r\n\x1a\n",
    "compressed with gzip": b"\x1f\x8b\x08\x00",
    "empty": b"",
    "neither a safetensors file": b"weights",
}


@pytest.mark.parametrize("what", NO_WEIGHTS)
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_what_is_no_file_of_weights_is_named(tmp_path: Path, what: str, ending: str) -> None:
    file = tmp_path / f"net.{ending}"
    file.write_bytes(NO_WEIGHTS[what])
    with pytest.raises(UserError, match=f"^{file} is ") as caught:
        format_of(file)
    assert what in str(caught.value)


def test_the_format_is_told_by_the_content_not_the_name(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, 3)}, tmp_path / "net.pth")
    assert format_of(tmp_path / "net.pth") == "safetensors"
    torch.save({"a": torch.zeros(2)}, tmp_path / "net.safetensors")
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    assert format_of(tmp_path / "net.safetensors") == format_of(tmp_path / "old.bin") == "torch"


def test_names_and_shapes_are_read_from_the_header_alone(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.zeros(2, 3), "b": torch.zeros(()), "c": torch.zeros(4, dtype=torch.int64)}
    save_file(tensors, tmp_path / "net.safetensors", metadata={"made": "here"})
    shapes = safetensors_shapes(tmp_path / "net.safetensors")
    assert shapes == {"a.weight": (2, 3), "b": (), "c": (4,)}
    assert summary(shapes)[:2] == (3, 11)


@pytest.mark.parametrize("change", ["short", "long", "header", "entry", "cut in the header"])
def test_a_damaged_safetensors_file_is_refused(tmp_path: Path, change: str) -> None:
    file = tmp_path / "net.safetensors"
    save_file({"a": torch.zeros(20)}, file)
    whole = file.read_bytes()
    bad = json.dumps({"a": {"shape": [2]}}).encode()
    content = {
        "short": whole[:-1],
        "long": whole + b"x",
        "header": whole[:9] + b"}" + whole[10:],
        "entry": struct.pack("<Q", len(bad)) + bad,
        "cut in the header": whole[:20],
    }[change]
    file.write_bytes(content)
    with pytest.raises(UserError, match="Get it again"):
        safetensors_shapes(file)


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (["module.a.w", "module.b"], "module."),
        (["module._orig_mod.a.w", "module._orig_mod.b"], "module._orig_mod."),
        (["n_averaged", "module.a", "module.b.c"], "module."),
        (["model.a.w", "model.b.w"], "model."),
        (["a.w", "b.w"], ""),
        (["a", "module.b"], ""),
        ([], ""),
    ],
)
def test_what_all_names_begin_with(names: list[str], prefix: str) -> None:
    assert wrapper(names) == prefix


@pytest.mark.parametrize(
    ("given", "own", "found"),
    [
        (["a.w", "b"], ["a.w", "b"], ["a.w", "b"]),
        (["module.a.w", "module.b"], ["a.w"], ["a.w", "b"]),
        (["_orig_mod.module.a"], ["a"], ["a"]),
        (["model.module.a", "model.module.b"], ["a", "b"], ["a", "b"]),
        (["n_averaged", "module.a", "module.b"], ["a", "b"], ["a", "b"]),
        (["module.a", "module.b"], ["module.a"], ["module.a", "module.b"]),  # the network's own name
        (["module.a", "module.b"], ["a", "c"], ["a", "b"]),  # it does not fit: shown without the wrapper
        (["net.a", "net.b"], ["c"], ["net.a", "net.b"]),
    ],
)
def test_wrappers_are_taken_off_as_far_as_the_network_needs(given: list[str], own: list[str], found: list[str]) -> None:
    assert list(unwrapped_names(given, own).values()) == found


def test_a_wrapper_is_said() -> None:
    assert summary({"module.a": (2,)}).notes == ("every name begins with module., which is taken off",)
    assert summary({"model.a": (2,)}).notes == ()
    assert "1 tensors" in summary({"module.a": (2,)}).text()


def test_of_several_sets_the_averaged_one_is_read() -> None:
    assert chosen_set({"state_dict": 0, "state_dict_ema": 0})[0] == "state_dict_ema"
    assert "not those in state_dict" in chosen_set({"state_dict": 0, "state_dict_ema": 0})[1][0]
    assert chosen_set({"model": 0})[0] == "model"
    assert chosen_set({"semantic_head": 0})[0] == "semantic_head"
    for sets in ({"teacher": 0, "student": 0}, {"ema": 0, "model_ema": 0}):
        with pytest.raises(UserError, match="several sets of weights"):
            chosen_set(sets)


def test_it_does_not_wait_for_torch() -> None:
    script = "import sys, trainables.models.weights_file, trainables.models.inspection; print('torch' in sys.modules)"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
