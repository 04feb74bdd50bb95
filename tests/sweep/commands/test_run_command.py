"""The real command line, where nothing is to be run: bad input, plans, help. Ray and torch are never waited for."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sweep.commands import run_command
from sweep.engine.study_lock import study_lock
from sweep.grid.loader import load_grid
from sweep.plan.inputs import gather
from sweep.plan.plan import make_plan
from trainables.store.storage import Storage
from trainables.store.study import Study

Run = Callable[..., subprocess.CompletedProcess[str]]
TABLES = ("full_study", "mini", "paper", "smoke")

FOLDERS = """\
target: cells
data:
  cells: {reader: image_folder, path: cells, size: 32}
split: {folds: 3, val_fraction: 0.3}
scenarios: {Random: {}}
axes: {architecture: [resnet18], learning_rate: 0.01}
"""


def tree(folder: Path) -> dict[str, bytes | None]:
    """All files and folders below, with their content; the disposable cache aside."""
    found = {f.relative_to(folder).as_posix(): f.read_bytes() if f.is_file() else None for f in folder.rglob("*")}
    return {name: content for name, content in found.items() if ".cache" not in name.split("/")}


@pytest.fixture
def there(tmp_path: Path, grid_text: str) -> Path:
    """A folder with a grid, and with something in the study's place that must not be touched."""
    (tmp_path / "grid.yaml").write_text(grid_text)
    kept = tmp_path / "studies/grid/stages/pretrain-x-0123456789abcdef"
    kept.mkdir(parents=True)
    (kept / "result.json").write_text('{"status": "done"}')
    return tmp_path


def refused(run: Run, folder: Path, *arguments: str) -> list[str]:
    """Call the command; hold it to everything that is the same for all bad input; return the faults."""
    before = tree(folder)
    done = run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert tree(folder) == before
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines), lines
    assert len(lines) == len(set(lines))
    return [line.removeprefix("error: ") for line in lines]


def edited(folder: Path, old: str, new: str) -> int:
    """Change the grid; return the line of the change."""
    text = (folder / "grid.yaml").read_text()
    assert old in text
    (folder / "grid.yaml").write_text(text.replace(old, new))
    return text[: text.index(old)].count("\n") + 1


BAD_GRIDS = [
    ("target: cells", "taget: cells", "unknown key taget; did you mean target"),
    ("recipe: {image_size: 32, batch_size: 8}", "recipe: {batchsize: 8}", "unknown key recipe.batchsize; did you mean batch_size"),
    ("architecture: [tiny]", "architecture: [resnet81]", "unknown architecture resnet81"),
    ("learning_rate: [0.02, 0.05]", "learning_rate: []", "the axis learning_rate is empty"),
    ("split: {folds: 2,", "split: {folds: 1,", "split.folds: input should be greater than or equal to 2, found 1"),
    ("Tissue: {pretrain: tissue}", "Tissue: {pretrain: tisue}", "no data set tisue under data; did you mean tissue"),
    ("finetune: {epochs: 3}", "finetune: {epochs: 3}\nfinetune: {epochs: 4}", "finetune is given twice"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), BAD_GRIDS, ids=[case[1] for case in BAD_GRIDS])
def test_a_bad_grid(run: Run, there: Path, old: str, new: str, said: str) -> None:
    line = edited(there, old, new) + new.count("\n")
    faults = refused(run, there, "--grid", "grid.yaml")
    [fault] = [fault for fault in faults if said in fault]
    assert fault.startswith(f"grid.yaml:{line}: ")


def test_all_faults_of_a_grid_at_once(run: Run, there: Path) -> None:
    for old, new in (
        ("architecture: [tiny]", "architecture: [resnet81, tiny]\n  seed: []"),
        ("folds: 2", "folds: 1"),
        ("batch_size", "batchsize"),
        ("finetune: {epochs: 3}", "finetune: {epochs: 3}\nfinetunes: {}"),
    ):
        edited(there, old, new)
    faults = "\n".join(refused(run, there, "--grid", "grid.yaml", "--plan"))
    for said in (
        "resnet81",
        "axis seed is empty",
        "split.folds",
        "recipe.batchsize",
        "finetunes; did you mean finetune",
    ):
        assert faults.count(said) == 1
    assert faults.count("grid.yaml:") == 5


BAD_FILES = [
    (b"- a\n- b\n", "not a mapping"),
    (b"study: Z\xfcrich", "not UTF-8"),
    (b"target: cells\n", "axes: field required"),
]


@pytest.mark.parametrize(("content", "said"), BAD_FILES, ids=[case[1] for case in BAD_FILES])
def test_a_file_that_is_no_grid(run: Run, there: Path, content: bytes, said: str) -> None:
    (there / "grid.yaml").write_bytes(content)
    faults = refused(run, there, "--grid", "grid.yaml")
    assert any("grid.yaml" in fault and said in fault for fault in faults)


def test_an_unknown_grid_lists_those_there_are(run: Run, there: Path) -> None:
    [fault] = refused(run, there, "--grid", "smokey")
    assert all(name in fault for name in TABLES)
    assert "did you mean smoke" in fault


BAD_SETTINGS = [
    ("finetune.epoch=3", "unknown key finetune.epoch; did you mean epochs"),
    ("finetune.epochs", "give section.key=value"),
    ("finetune.epochs={", "the value is not valid YAML"),
]


@pytest.mark.parametrize(("setting", "said"), BAD_SETTINGS, ids=[case[0] for case in BAD_SETTINGS])
def test_a_bad_setting(run: Run, there: Path, setting: str, said: str) -> None:
    [fault] = refused(run, there, "--grid", "grid.yaml", "--set", setting)
    assert said in fault
    assert "--set" in fault


@pytest.mark.parametrize("name", ["a/b", " "])
def test_a_name_that_is_no_folder_is_no_study(run: Run, there: Path, name: str) -> None:
    [fault] = refused(run, there, "--grid", "grid.yaml", "--study", name)
    assert "cannot name a study" in fault


@pytest.mark.parametrize(
    "arguments",
    [(), ("--grid",), ("--grid", "smoke", "--nosuch"), ("--grid", "smoke", "--json")],
    ids=" ".join,
)
def test_a_bad_command_line(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m sweep.run")
    assert not list(tmp_path.iterdir())


def paint(folder: Path, count: int = 4, labels: tuple[str, ...] = ("round", "square")) -> None:
    for number, label in enumerate(labels):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(100 * number + i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.png")


@pytest.fixture
def folders(there: Path) -> Path:
    """The same with a target of image files: 2 classes of 4."""
    (there / "grid.yaml").write_text(FOLDERS)
    paint(there / "data/cells")
    return there


def no_folder(data: Path) -> str:
    shutil.rmtree(data)
    return "no folder data/cells"


def empty(data: Path) -> str:
    shutil.rmtree(data)
    data.mkdir()
    return "data/cells holds nothing"


def flat(data: Path) -> str:
    for file in data.rglob("*.png"):
        file.rename(data / f"{file.parent.name}-{file.name}")
    return "Expected data/cells/<class>/image.jpg"


def small_class(data: Path) -> str:
    for i in (1, 2):
        (data / f"square/{i}.png").unlink()
    return "fewer images than the 3 folds in class square (2)"


def one_class(data: Path) -> str:
    shutil.rmtree(data / "square")
    return "1 class: round"


def too_many_broken(data: Path) -> str:
    for i in range(3):
        (data / f"round/{i}.png").write_bytes(b"no image")
    return "3 of 8 images do not decode, more than max_undecodable"


BAD_DATA = (no_folder, empty, flat, small_class, one_class, too_many_broken)


@pytest.mark.parametrize("spoil", BAD_DATA, ids=lambda spoil: spoil.__name__)
def test_bad_data(run: Run, folders: Path, spoil: Callable[[Path], str]) -> None:
    said = spoil(folders / "data/cells")
    *faults, last = refused(run, folders, "--grid", "grid.yaml")
    assert [fault for fault in faults if fault.startswith("data set cells") and said in fault]
    assert "nothing was started" in last
    assert not list(folders.rglob("*.partial"))


def test_bad_data_of_several_sets_and_missing_weights_at_once(run: Run, there: Path) -> None:
    (there / "grid.yaml").write_text(
        FOLDERS.replace("cells: {reader: image_folder, path: cells, size: 32}", "\n".join([
            "cells: {reader: bone_marrow}",
            "  pcam: {reader: pcam}",
            "  pets: {reader: cats_vs_dogs}",
        ]))
        .replace("scenarios: {Random: {}}", "scenarios: {P: {pretrain: pcam}, Q: {start: theirs, pretrain: pets}}\n"
                 "weights: {theirs: {resnet18: {file: net.pth}}}\npretrain: {learning_rate: 1}")
    )  # fmt: skip
    (there / "data/bone_marrow").mkdir(parents=True)
    (there / "data/pcam").mkdir()
    (there / "data/cats_vs_dogs/Cat").mkdir(parents=True)
    *faults, last = refused(run, there, "--grid", "grid.yaml", "--weights", "w")
    assert len(faults) == 4
    for fault, start, said in zip(
        faults,
        ("data set cells", "data set pcam", "data set pets", "weights theirs of resnet18"),
        ("<CODE>", "camelyonpatch_level_2_split_train_x.h5", "PetImages/Cat", "w/net.pth"),
        strict=True,
    ):
        assert fault.startswith(start)
        assert said in fault
    assert last.startswith("4 inputs are missing")


def begin(folder: Path) -> Study:
    """Write what a run writes before its first stage: header, plan, splits, problems in the data."""
    grid = load_grid(str(folder / "grid.yaml"))
    inputs = gather(grid, folder / "data", None, folder / "studies/.cache")
    study = Study(Storage(folder / "studies/grid"))
    run_command._write_down(study, "grid", make_plan(grid, inputs), inputs, {})
    return study


def test_an_image_that_does_not_decode_is_skipped_counted_and_named(run: Run, folders: Path) -> None:
    broken = folders / "data/cells/round/2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    shown = run("--grid", "grid.yaml", "--plan", "--json")
    assert shown.returncode == 0, shown.stderr
    assert all(stage["key"] for stage in json.loads(shown.stdout)["stages"])
    study = begin(folders)
    rows = study.storage.read_table("data_problems.parquet").to_pylist()
    problems = [row for row in rows if row["image_id"]]
    assert [(row["data_set"], row["image_id"]) for row in problems] == [("cells", "round/2.png")]
    assert "undecodable" in problems[0]["what"]


def test_no_study_is_begun_for_a_cell_that_is_not_there(run: Run, there: Path) -> None:
    [fault] = refused(run, there, "--grid", "grid.yaml", "--cell", "tiny-Random-fold0-lr0.02-sed0")
    assert "did you mean tiny-Random-fold0-lr0.02-seed0" in fault


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory, grid_text: str) -> Path:
    """A folder with a study that was begun."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "grid.yaml").write_text(grid_text)
    begin(folder)
    return folder


@pytest.fixture
def again(begun: Path, tmp_path: Path) -> Path:
    """A copy of it in the folder where the command is called."""
    return Path(shutil.copytree(begun, tmp_path, dirs_exist_ok=True))


def test_the_same_grid_may_go_on_and_the_study_is_left_as_it_is(run: Run, again: Path) -> None:
    before = tree(again)
    done = run("--grid", "grid.yaml", "--plan")
    assert done.returncode == 0, done.stderr
    assert tree(again) == before


OTHER = [
    (("data.cells.images_per_class=7",), ("the target data (cells)", "the split")),
    (("split.val_fraction=0.5",), ("the split",)),
]


@pytest.mark.parametrize(("settings", "what"), OTHER, ids=[case[0][0] for case in OTHER])
def test_a_study_of_other_data_or_of_another_split_is_refused(
    run: Run, again: Path, settings: tuple[str, ...], what: tuple[str, ...]
) -> None:
    given = [part for setting in settings for part in ("--set", setting)]
    faults = refused(run, again, "--grid", "grid.yaml", *given)
    assert len(faults) == len(what)
    for fault, name in zip(faults, what, strict=True):
        assert str(again / "studies/grid") in fault
        assert f"was made with {name}" in fault
        assert "give --study another name" in fault
    assert run("--grid", "grid.yaml", *given, "--plan", "--study", "another").returncode == 0


def test_stages_wider_than_the_cluster_can_ever_be_are_refused_before_anything_starts(run: Run, again: Path) -> None:
    threads = ("--set", "recipe.threads=4096")
    [fault] = refused(run, again, "--grid", "grid.yaml", *threads)
    assert fault.startswith("9 stages are wider than the cluster: each needs 4096 CPUs on one node (recipe.threads)")
    planned = run("--grid", "grid.yaml", "--plan", *threads)
    assert planned.returncode == 0
    assert "not on this machine: 9 stages are wider" in planned.stdout
    elsewhere = run("--grid", "grid.yaml", "--plan", *threads, "--device", "a10g")
    assert "not on this machine" not in elsewhere.stdout


def test_what_is_missing_besides_is_said_with_it(run: Run, again: Path) -> None:
    faults = refused(
        run, again, "--grid", "grid.yaml", "--set", "split.val_fraction=0.5",
        "--set", "data.tissue={reader: image_folder, path: theirs}",
    )  # fmt: skip
    assert len(faults) == 2
    assert "the split" in faults[0]
    assert "data set tissue" in faults[1]


def test_another_pretraining_set_is_no_other_study(run: Run, again: Path) -> None:
    done = run("--grid", "grid.yaml", "--plan", "--set", "data.tissue.images_per_class=9")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("content", [b"{", b"{}"], ids=repr)
def test_a_spoilt_header_is_said_and_left(run: Run, again: Path, content: bytes) -> None:
    (again / "studies/grid/study.json").write_bytes(content)
    faults = refused(run, again, "--grid", "grid.yaml")
    assert all(str(again / "studies/grid") in fault for fault in faults)


@pytest.mark.parametrize("storage", ["a file", "s3://"])
def test_a_storage_that_cannot_be(run: Run, there: Path, storage: str) -> None:
    (there / "a file").write_text("mine")
    faults = refused(run, there, "--grid", "grid.yaml", "--storage", storage)
    assert any(storage in fault for fault in faults)


def test_a_study_that_is_held_is_refused_with_its_holder(run: Run, again: Path) -> None:
    with study_lock(Study(Storage(again / "studies/grid"))):
        before = tree(again)
        done = run("--grid", "grid.yaml")
        assert done.returncode == 3
        assert f"process {os.getpid()}" in done.stderr
        assert "Traceback" not in done.stderr
        assert tree(again) == before
        assert run("--grid", "grid.yaml", "--plan").returncode == 0, "looking is allowed"


@pytest.mark.parametrize("name", ["with spaces ☃ étude 研究", "[red]a:key:b"])
def test_a_study_may_be_called_as_one_likes(run: Run, again: Path, name: str) -> None:
    shutil.copytree(again / "studies/grid", again / "studies" / name)
    [fault] = refused(run, again, "--grid", "grid.yaml", f"--study={name}", "--set", "split.val_fraction=0.5")
    assert str(again / "studies" / name) in fault


PAPER = [
    ("data set bone_marrow", "data/bone_marrow", "10.7937/TCIA.AXH3-T579"),
    ("data set pcam", "data/pcam", "https://github.com/basveeling/pcam"),
    ("data set cats_vs_dogs", "data/cats_vs_dogs", "https://"),
    ("weights imagenet of vgg19_bn", "hub/checkpoints/vgg19_bn-", "https://download.pytorch.org/models/vgg19_bn-"),
    ("weights imagenet of resnet152", "hub/checkpoints/resnet152-", "https://download.pytorch.org/models/resnet152-"),
    ("weights imagenet of regnet_y_32gf", "hub/checkpoints/regnet_y_32gf-", "https://download.pytorch.org/models/regnet_y"),
    ("weights imagenet of vit_l_32", "hub/checkpoints/vit_l_32-", "https://download.pytorch.org/models/vit_l_32-"),
]  # fmt: skip


def assert_all_named(messages: list[str]) -> None:
    assert len(messages) == len(PAPER)
    for (what, looked_for, obtain), message in zip(PAPER, messages, strict=True):
        assert message.startswith(what)
        assert looked_for in message
        assert obtain in message


def test_the_plan_of_the_paper_without_its_inputs(run: Run, tmp_path: Path) -> None:
    done = run("--grid", "paper", "--plan")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "120 cells, 136 stages; 200 if each cell trained its own pre-training: sharing saves 64" in done.stdout
    assert ["pretrain", "16", "0", "0", "0", "16"] in [line.split()[:6] for line in done.stdout.splitlines()]
    assert ["finetune", "120", "0", "0", "0", "120"] in [line.split()[:6] for line in done.stdout.splitlines()]
    assert_all_named([line.removeprefix("- ") for line in done.stdout.splitlines() if line.startswith("- ")])
    assert tree(tmp_path) == {}


def test_a_run_of_the_paper_without_its_inputs_is_refused(run: Run, tmp_path: Path) -> None:
    *faults, last = refused(run, tmp_path, "--grid", "paper")
    assert_all_named(faults)
    assert "nothing was started" in last


def test_the_plan_for_programs_without_inputs(run: Run) -> None:
    document = json.loads(run("--grid", "paper", "--plan", "--json").stdout)
    stages = document["stages"]
    assert len(stages) == 136
    names = {stage["name"] for stage in stages}
    assert len(names) == 136
    for stage in stages:
        assert {"kind", "name", "key", "upstream", "state", "gflop"} <= stage.keys()
        assert stage["key"] is None
        assert stage["state"] == "waiting"
        assert set(stage["upstream"]) <= names
        assert stage["gflop"] > 0
    assert sum(len(stage["upstream"]) for stage in stages) == 80
    assert_all_named(document["missing"])


def test_the_plan_for_programs_knows_what_was_done(run: Run, again: Path) -> None:
    before = json.loads(run("--grid", "grid.yaml", "--plan", "--json").stdout)
    assert before["study"] == "grid"
    assert {stage["state"] for stage in before["stages"]} == {"waiting"}
    keys = [stage["key"] for stage in before["stages"]]
    assert len(set(keys)) == 9
    assert {up for stage in before["stages"] for up in stage["upstream"]} == {keys[0]}
    for place, file in ((0, "result.json"), (1, "failure.json")):
        stage = before["stages"][place]
        folder = again / f"studies/grid/stages/{stage['kind']}-{stage['name']}-{stage['key'][:16]}"
        folder.mkdir(parents=True)
        (folder / file).write_text("{}")
    after = json.loads(run("--grid", "grid.yaml", "--plan", "--json").stdout)["stages"]
    assert [stage["state"] for stage in after] == ["done", "failed", *["waiting"] * 7]
    table = [line.split()[:6] for line in run("--grid", "grid.yaml", "--plan").stdout.splitlines()]
    assert ["pretrain", "1", "1", "0", "0", "0"] in table
    assert ["finetune", "8", "0", "1", "0", "8"] in table


RULES = """\
zip:
  - [architecture, recipe.batch_size]
exclude:
  - {architecture: other, scenario: Tissue}
  - {learning_rate: 0.05, fold: [0]}
defaults:
  - {match: {architecture: other}, set: {clip_norm: 1.0}}
"""


def test_the_plan_says_what_each_rule_is_about(
    run: Run, there: Path, grid_text: str, bare_environment: dict[str, str]
) -> None:
    bare_environment["COLUMNS"] = "160"
    text = grid_text.replace("  tiny: {", "  other: {model: timm/test_vit}\n  tiny: {").replace(
        "[tiny]", "[tiny, other]"
    )
    text = text.replace("axes:\n", "axes:\n  recipe.batch_size: [8, 4]\n")
    (there / "grid.yaml").write_text(text + RULES)
    lines = [line.split() for line in run("--grid", "grid.yaml", "--plan").stdout.splitlines()]
    begin = text.count("\n") + 2
    for rule in (
        f"zip architecture, recipe.batch_size 9 made with it grid.yaml:{begin}",
        f"exclude architecture: other, scenario: Tissue 4 left out grid.yaml:{begin + 2}",
        f"exclude learning_rate: 0.05, fold: 0 4 left out grid.yaml:{begin + 3}",
        f"defaults for architecture: other 3 made with it grid.yaml:{begin + 5}",
        "7 cells are left out; plan.json lists them, each with its rule",
        "architecture 2: tiny (6), other (3) 3 to 6",
    ):
        assert rule.split() in lines, rule
    (there / "grid.yaml").write_text(text + RULES.replace("[0]", "[7]"))
    [fault] = refused(run, there, "--grid", "grid.yaml", "--plan")
    assert fault.startswith(f"grid.yaml:{begin + 3}: the rule for learning_rate: 0.05, fold: 7 matches no cell")


def test_the_plan_says_what_was_proven_of_the_splits(run: Run, folders: Path) -> None:
    shown = " ".join(run("--grid", "grid.yaml", "--plan").stdout.split())
    assert (
        "cells: no groups are given: 0 of 8 images shared between train, val and test, 3 folds; every image tested once"
        in shown
    )
    assert "class round (4 images): 1 to 2 test images" in shown
    study = begin(folders)
    splits = study.plan["splits"]["cells"]
    assert splits["digest"] == study.plan["split"]
    assert "every image tested once" in splits["proof"]
    assert any("class round (4 images)" in note for note in splits["notes"])


def test_a_plan_knows_the_speeds_that_were_measured(run: Run, there: Path) -> None:
    speeds = there / "studies/.cache/speeds.json"
    edited(there, "recipe: {", "recipe: {precision: float32, ")
    before = json.loads(run("--grid", "grid.yaml", "--plan", "--json").stdout)
    assert before["forecast"]["speeds"] == {"measured": [], "from_flops": ["tiny"]}
    assert "speeds: from FLOPs and an assumed utilisation of tiny;" in run("--grid", "grid.yaml", "--plan").stdout
    speeds.write_text(json.dumps({"timm/test_resnet 32 px float32 1 threads on cpu (x86_64, Some Processor)": 0.125}))
    after = json.loads(run("--grid", "grid.yaml", "--plan", "--json").stdout)
    assert after["forecast"]["speeds"] == {"measured": ["tiny"], "from_flops": []}
    stage = after["stages"][0]
    assert stage["seconds"] == pytest.approx(stage["gflop"] / 0.125)
    assert "speeds: measured of tiny;" in run("--grid", "grid.yaml", "--plan").stdout
    elsewhere = json.loads(run("--grid", "grid.yaml", "--plan", "--json", "--device", "a10g").stdout)
    assert elsewhere["forecast"]["speeds"]["measured"] == []


BAD_LIMITS = [
    (("--deadline", "soon"), "--deadline soon: give seconds, or a number with m, h or d"),
    (("--checkpoint", "often"), "--checkpoint often: give seconds, or a number with m, h or d"),
    (("--hang-timeout", "never"), "--hang-timeout never: give seconds, or a number with m, h or d"),
    (("--hang-timeout", "5"), "--hang-timeout 5: at least 15 s"),
    (("--max-cost", "-1"), "--max-cost must be above 0, found -1"),
    (("--price", "0"), "--price must be above 0, found 0"),
    (("--plan", "--gpus", "0"), "--gpus must be above 0, found 0"),
    (("--prices", "none.yaml"), "cannot read the price table none.yaml"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD_LIMITS, ids=[" ".join(case[0]) for case in BAD_LIMITS])
def test_bad_limits(run: Run, there: Path, arguments: tuple[str, ...], said: str) -> None:
    [fault] = refused(run, there, "--grid", "grid.yaml", *arguments)
    assert said in fault


def test_the_plan_of_the_small_study(run: Run) -> None:
    done = run("--grid", "mini", "--plan", "--set", "fold=all")
    assert done.returncode == 0, done.stderr
    assert "60 cells, 68 stages; 100 if each cell trained its own pre-training" in done.stdout


IMPORTED = """
import sys
from sweep.run import main
try:
    status = main(sys.argv[1:])
except SystemExit as error:
    status = error.code
heavy = {"torch", "torchvision", "timm", "ray", "wandb", "sklearn", "jinja2", "pandas"}
print(status, *sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--help",), 0),
        (("--grid", "paper", "--plan"), 0),
        (("--grid", "grid.yaml", "--plan"), 0),
        (("--grid", "paper"), 2),
        (("--grid", "smoke", "--set", "folds=1"), 2),
        (("--grid", "grid.yaml", "--cell", "nosuch"), 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_nothing_heavy_is_imported(
    there: Path, bare_environment: dict[str, str], arguments: tuple[str, ...], status: int
) -> None:
    call = [sys.executable, "-c", IMPORTED, *arguments]
    done = subprocess.run(call, cwd=there, env=bare_environment, capture_output=True, text=True, timeout=60)
    shown, *imported = done.stderr.splitlines()[-1].split()
    assert shown == str(status)
    if "grid.yaml" in arguments:  # pyarrow imports pandas where data are prepared and divided
        imported = [name for name in imported if name != "pandas"]
    assert not imported


def quickest(run: Run, *arguments: str) -> float:
    """Processor seconds of the quickest of three calls: the machine has other things to do meanwhile."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def once() -> float:
        before = spent()
        assert run(*arguments).returncode == 0
        return spent() - before

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [(("--help",), 1.0), (("--grid", "full_study", "--plan"), 4.0)],  # wanted: 0.5 and 2 s on an idle machine
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_looking_is_quick(run: Run, arguments: tuple[str, ...], seconds: float) -> None:
    assert quickest(run, *arguments) < seconds


def test_help_says_what_there_is(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in (
        "--grid",
        "--plan",
        "--json",
        "--set",
        "--study",
        "--storage",
        "--data",
        "--weights",
        "--cell",
        *TABLES,
    ):
        assert word in done.stdout
    assert "exit status" in done.stdout


def test_a_plan_needs_no_place_to_write(run: Run, tmp_path: Path) -> None:
    done = run("--grid", "paper", "--plan", "--storage", "/proc/nowhere")
    assert done.returncode == 0, done.stderr


def test_the_grid_names_the_study_where_the_command_does_not(run: Run, there: Path) -> None:
    def study(*arguments: str) -> Any:
        return json.loads(run("--grid", "grid.yaml", "--plan", "--json", "--set", "study=mine", *arguments).stdout)[
            "study"
        ]

    assert study() == "mine"
    assert study("--study", "yours") == "yours"


def test_why_two_stages_differ(run: Run) -> None:
    one, other = "tiny_vit-Tissue-fold0-lr0.001-seed0", "tiny_vit-Tissue-fold2-lr0.004-seed0"
    done = run("--grid", "smoke", "--why", one, other)
    assert done.returncode == 0
    assert {"fold: 0 | 2", "learning_rate: 0.001 | 0.004"} < set(done.stdout.splitlines())
    assert "recipe" not in done.stdout
    unknown = run("--grid", "smoke", "--why", one, "tiny_vit-Tissu-fold0-lr0.001-seed0")
    assert unknown.returncode == 2
    assert "did you mean tiny_vit-Tissue-fold0-lr0.001-seed0" in unknown.stdout + unknown.stderr
