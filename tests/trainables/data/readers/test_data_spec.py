"""Tests of data sets in a grid whose reader another distribution publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from tests.trainables.support.plugins import forget, install_toy, publish, put_on_path
from trainables.data.packing.prepare import prepare
from trainables.data.readers.base import READING
from trainables.data.readers.builtin.image_folder import ImageFolder
from trainables.data.readers.data_spec import DataSpec, PluginDataSource, reader_plugin
from trainables.errors import UserError

Install = Callable[..., None]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    def install(version: str = "1.0") -> None:
        put_on_path(install_toy(tmp_path / version, version), monkeypatch)

    yield install
    monkeypatch.undo()
    forget()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of 6 and 4 images."""
    folder = tmp_path / "data" / "arrays"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in (("dark", 6), ("light", 4)):
        np.save(folder / f"{name}.npy", rng.integers(0, 256, (count, 20, 20, 3), dtype=np.uint8))
    return tmp_path / "data"


def spec(**fields: Any) -> Any:
    return TypeAdapter(DataSpec).validate_python({"reader": "toy_arrays", "path": "arrays"} | fields)


def test_its_options_are_completed_and_it_says_who_publishes_it(toy: Install) -> None:
    toy("2.5")
    found = spec(size=16)
    assert isinstance(found, PluginDataSource)
    assert found.options()["negative"] is False
    assert found.size == 16
    assert found.plugin == "toy-plugin 2.5"
    plugin = reader_plugin(found)
    assert plugin is not None
    assert (plugin.kind, plugin.name, plugin.distribution, plugin.version) == (
        "reader",
        "toy_arrays",
        "toy-plugin",
        "2.5",
    )
    assert plugin.options == {name: value for name, value in found.options().items() if name not in READING}
    assert reader_plugin(ImageFolder(reader="image_folder", path="x")) is None


def test_it_is_prepared_like_any_other(toy: Install, root: Path) -> None:
    toy()
    plain, negative = (prepare("set", spec(negative=n), root, root / "cache") for n in (False, True))
    assert plain.classes == ("dark", "light")
    assert np.bincount(plain.labels).tolist() == [6, 4]
    rows = np.arange(10)
    assert np.array_equal(255 - plain.gather(rows), negative.gather(rows))


def test_what_every_data_set_may_say_holds_for_it_too(toy: Install, root: Path) -> None:
    toy()
    few = spec(at_most=3).listing(root)
    assert sorted(item.label for item in few.items) == ["dark"] * 3 + ["light"] * 3
    assert {item.label for item in spec(leave_out=["dark"]).listing(root).items} == {"light"}
    with pytest.raises(UserError, match="no folder .*gone"):
        spec(path="gone").listing(root)


def test_another_version_prepares_anew_and_the_fingerprint_is_of_the_content(toy: Install, root: Path) -> None:
    toy("1.0")
    first = prepare("set", spec(), root, root / "cache")
    toy("1.1")
    second = prepare("set", spec(), root, root / "cache")
    assert first.folder != second.folder
    assert first.fingerprint == second.fingerprint


def test_what_a_study_wrote_is_read_again_whatever_version_it_names(toy: Install) -> None:
    """``grid.yaml`` of a study holds all fields, ``plugin`` too."""
    toy("1.0")
    written = spec(negative=True).model_dump(mode="json")
    toy("1.1")
    assert spec(**written).options() == {k: v for k, v in written.items() if k != "plugin"}
    assert spec(**written).plugin == "toy-plugin 1.1"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"negativ": True}, r"has no option negativ; there are .*did you mean negative\? \(of toy-plugin 1.0\)"),
        ({"negative": "perhaps"}, "option negative of the reader toy_arrays: input should be a valid boolean"),
        ({"size": 3}, "option size of the reader toy_arrays: input should be greater than or equal to 16, found 3"),
        ({"reader": "plugin"}, "no reader plugin"),
        ({"reader": "toy_array"}, "does not match any of the expected tags"),
        ({"reader": 3}, "Unable to extract tag"),
    ],
)
def test_faults_are_told(toy: Install, fields: dict[str, Any], message: str) -> None:
    toy()
    with pytest.raises(ValidationError, match=message):
        spec(**fields)


def test_a_published_reader_of_a_built_in_name_is_refused_where_it_is_used(
    tmp_path: Path, toy: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, "fork", "1.0", {"scenario_sweep.readers": {"manifest": "toy_plugin.reader:ArrayFiles"}})
    put_on_path(tmp_path, monkeypatch)
    with pytest.raises(ValidationError, match=r"the reader manifest is published by this project and fork 1\.0"):
        spec(reader="manifest", path="x.csv")
    assert spec(reader="image_folder", path="x").path == "x"


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        ("raise RuntimeError('no licence')", "the reader toy_arrays of toy-plugin 1.0 failed in .*no licence"),
        ("raise SystemExit(9)", "the reader toy_arrays of toy-plugin 1.0 failed in .*SystemExit: 9"),
        ("return Listing([ImageEntry('a', 3)], None)", "lists the image 'a' with label 3: it should be text"),
        ("return Listing([ImageEntry('a', 'b', group=7)], None)", "lists the image 'a' with group 7"),
    ],
)
def test_a_reader_that_fails_is_named(toy: Install, root: Path, tmp_path: Path, scan: str, message: str) -> None:
    toy()
    module = tmp_path / "1.0" / "toy_plugin" / "reader.py"
    module.write_text(module.read_text().replace("folder = folder_of", f"{scan}\n        folder = folder_of"))
    with pytest.raises(UserError, match=message):
        prepare("set", spec(), root, root / "cache")


def test_what_a_reader_prints_is_none_of_a_commands_output(
    toy: Install, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy()
    module = tmp_path / "1.0" / "toy_plugin" / "reader.py"
    text = module.read_text().replace("folder = folder_of", "print('scanning')\n        folder = folder_of")
    module.write_text(f"{text}\nprint('imported')\n")
    prepare("set", spec(), root, root / "cache")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "imported\nscanning\n"
