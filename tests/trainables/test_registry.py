"""Tests of the registries: names without imports, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.support.plugins import publish
from trainables import registry as module
from trainables.errors import UserError
from trainables.registry import REGISTRIES, Registry, registry_of

EXPECTED = {
    "reader": {"bone_marrow", "cats_vs_dogs", "generated", "image_folder", "manifest", "parquet", "pcam"},
    "augmentation": {"gaussian_blur"},
    "optimizer": {"adamw", "sgd"},
    "learning-rate schedule": {"constant", "cosine", "exponential", "one_cycle", "plateau", "step"},
    "stopping rule": {"patience"},
    "metric": {"top_k_accuracy"},
}


class Fruit:
    """The base of the entries below."""


@pytest.fixture
def fruits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[Any]:
    """A registry whose own entries are two modules of a folder."""
    folder = tmp_path / "own" / "fruit_entries"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    for name in ("apple", "pear"):
        source = f"import fruit_registry as r\n@r.fruits.register({name!r})\nclass {name.title()}(r.Fruit): pass\n"
        (folder / f"{name}.py").write_text(source)
    found: Registry[Any] = Registry("fruit", "fruits", "fruit_entries", Fruit, reserved=["plum"])
    monkeypatch.setitem(sys.modules, "fruit_registry", type(sys)("fruit_registry"))
    sys.modules["fruit_registry"].__dict__.update(fruits=found, Fruit=Fruit)
    for imported in ("fruit_entries", "fruit_entries.apple", "fruit_entries.pear"):
        monkeypatch.delitem(sys.modules, imported, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    return found


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Publish entries of the group of fruits: distribution, version and entries."""

    def published(name: str, version: str, **entries: str) -> None:
        folder = tmp_path / "others"
        folder.mkdir(exist_ok=True)
        publish(folder, name, version, {"scenario_sweep.fruits": entries})
        monkeypatch.syspath_prepend(str(folder))
        module._published.cache_clear()

    yield published
    module._published.cache_clear()


@pytest.mark.parametrize("kind", REGISTRIES)
def test_the_project_has_these_entries_and_each_can_be_had_without_options(kind: str) -> None:
    registry = registry_of(kind)
    assert registry.kind == kind
    assert registry.own().keys() >= EXPECTED[kind]
    assert all(registry[name] is entry for name, entry in registry.own().items())
    if kind != "reader":  # a data set has a path
        assert all(registry[name].model_validate({}) is not None for name in EXPECTED[kind])


def test_every_module_of_the_folder_registers_its_entries(fruits: Registry[Any]) -> None:
    assert fruits.names() == ["apple", "pear"]
    assert issubclass(fruits["pear"], Fruit)
    assert fruits.source("pear") is None


def test_two_own_entries_of_one_name_are_a_mistake(fruits: Registry[Any]) -> None:
    fruits.own()
    with pytest.raises(ValueError, match="two fruit entries of the project are called pear"):
        fruits.register("pear")(object)


def test_an_unknown_name_is_refused_with_the_list_and_the_nearest(fruits: Registry[Any]) -> None:
    message = r"no fruit peer; there are apple, pear, .* entry points scenario_sweep\.fruits; did you mean pear\?"
    with pytest.raises(UserError, match=message):
        fruits["peer"]
    with pytest.raises(UserError, match="no fruit plum"):
        fruits["plum"]


def test_names_of_others_come_from_their_metadata_alone(fruits: Registry[Any], others: Any) -> None:
    others("their-fruits", "1.2", fig="there_is_no_such_module:Fig")
    assert fruits.names() == ["apple", "fig", "pear"]
    source = fruits.source("fig")
    assert source is not None
    assert (source.distribution, source.version) == ("their-fruits", "1.2")
    with pytest.raises(
        UserError, match=r"the fruit fig of their-fruits 1\.2 cannot be imported from there_is.*Mend or"
    ):
        fruits["fig"]


def test_an_entry_of_another_distribution_is_loaded_when_it_is_asked_for(fruits: Registry[Any], others: Any) -> None:
    others("their-fruits", "1.2", fig="fruit_registry:Fruit", date="fruit_registry:fruits")
    assert fruits["fig"] is Fruit
    with pytest.raises(
        UserError, match=r"fruit date of their-fruits 1\.2 is .*: it should be a class derived from .*Fruit"
    ):
        fruits["date"]


@pytest.mark.parametrize("name", ["pear", "fig", "plum"])
def test_a_name_that_two_publish_is_refused_where_it_is_used(fruits: Registry[Any], others: Any, name: str) -> None:
    others("their-fruits", "1.2", fig="x:Y", **({} if name == "fig" else {name: "x:Y"}))
    others("more-fruits", "0.1", **({"fig": "x:Y"} if name == "fig" else {"grape": "x:Y"}))
    other = "more-fruits 0.1" if name == "fig" else "this project"
    with pytest.raises(UserError, match=f"the fruit {name} is published by .* and .*uninstall all but one") as caught:
        fruits[name]
    assert other in str(caught.value)
    assert "their-fruits 1.2" in str(caught.value)
    assert fruits["apple"] is not None, "the others are not in the way"


def test_the_built_in_entries_are_known_without_torch() -> None:
    import subprocess

    script = (
        "import sys; from trainables.registry import REGISTRIES, registry_of\n"
        "names = [registry_of(kind).names() for kind in REGISTRIES]\n"
        "assert all(names) and 'torch' not in sys.modules, names"
    )
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": root, "PATH": ""})
