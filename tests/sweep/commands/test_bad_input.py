"""Bad grids, files, settings, names and limits: each told with its place, status 2, and nothing touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweep.support.command_line import TABLES, Run, edited, refused

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
    ("finetune.epochs={", "the value cannot be read as YAML"),
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


def test_no_study_is_begun_for_a_cell_that_is_not_there(run: Run, there: Path) -> None:
    [fault] = refused(run, there, "--grid", "grid.yaml", "--cell", "tiny-Random-fold0-lr0.02-sed0")
    assert "did you mean tiny-Random-fold0-lr0.02-seed0" in fault


def test_a_plan_says_that_there_is_no_study_to_take_results_from(run: Run) -> None:
    done = run("--grid", "smoke", "--plan", "--reuse", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no study at" in done.stderr
    assert "nowhere" in done.stderr
