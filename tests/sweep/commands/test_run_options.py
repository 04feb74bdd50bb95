"""The options of a run: what each part of the command line becomes, and which values are refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sweep.commands.run_options import (
    ClusterOptions,
    InputOptions,
    PlanOptions,
    RunOptions,
    parse_duration,
    run_options,
)
from sweep.engine.run_limits import RunLimits
from sweep.mirror.mode import MirrorOptions
from sweep.run import parser
from trainables.errors import UserError


def options(line: str) -> RunOptions:
    return run_options(parser().parse_args(["--grid", "smoke", *line.split()]))


def test_without_options_a_run_has_the_defaults_of_the_class() -> None:
    assert options("") == RunOptions("smoke")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--set a=1 --set b=2", RunOptions("smoke", settings=("a=1", "b=2"))),
        ("--rehearse --study s --storage s3://b", RunOptions("smoke", rehearse=True, study="s", storage="s3://b")),
        ("--reuse old --cell abc --prices p", RunOptions("smoke", reuse="old", cell="abc", prices=Path("p"))),
        ("--data d --weights w", RunOptions("smoke", inputs=InputOptions(Path("d"), Path("w")))),
        ("--plan --json --gpus 8", RunOptions("smoke", plan=PlanOptions(show=True, as_json=True, gpus=8))),
        ("--why a b --device a10g", RunOptions("smoke", plan=PlanOptions(why=("a", "b"), device="a10g"))),
        ("--address auto --cluster c", RunOptions("smoke", cluster=ClusterOptions("auto", "c"))),
        ("--deadline 1.5h --fail-fast", RunOptions("smoke", limits=RunLimits(deadline=5400.0, fail_fast=True))),
        ("--max-cost 3 --price 2", RunOptions("smoke", limits=RunLimits(max_cost=3.0, price=2.0))),
        ("--checkpoint 5 --widest 2", RunOptions("smoke", limits=RunLimits(checkpoint=5.0, widest=2))),
        ("--hang-timeout 15 --allow-open", RunOptions("smoke", limits=RunLimits(hang_timeout=15.0, allow_open=True))),
        ("--wandb off --wandb-images", RunOptions("smoke", mirror=MirrorOptions("off", images=True))),
        ("--wandb-project p --wandb-e t", RunOptions("smoke", mirror=MirrorOptions(project="p", entity="t"))),
    ],
)
def test_an_option_is_read(line: str, expected: RunOptions) -> None:
    assert options(line) == expected


def test_all_bad_limits_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        options("--deadline soon --max-cost 0 --gpus -1 --hang-timeout 5")
    assert [fault.split(" ")[0] for fault in caught.value.faults] == [
        "--max-cost",
        "--gpus",
        "--deadline",
        "--hang-timeout",
    ]


def test_names_that_wandb_does_not_take_are_refused_at_once() -> None:
    with pytest.raises(UserError) as caught:
        options("--wandb-project a/b --wandb-entity c:d")
    assert [fault.split(" ")[3] for fault in caught.value.faults] == ["(--wandb-project,", "(--wandb-entity,"]
    assert options("--wandb off --wandb-project a/b").mirror.wanted == "off"


@pytest.mark.parametrize(
    ("line", "starts"),
    [("", True), ("--plan", False), ("--why a b", False), ("--cell a", False), ("--address a", False)],
)
def test_ray_is_started_by_a_run_without_a_cluster(line: str, starts: bool) -> None:
    assert options(line).starts_ray == starts


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("12h", 43200), ("2d", 172800), ("", None), ("h", None), ("-1", None), ("1 h", None)],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_there_is_no_limit_unless_one_is_given() -> None:
    limits = options("").limits
    assert (limits.deadline, limits.max_cost) == (math.inf, math.inf)


def test_places_are_kept_as_a_later_command_in_another_folder_can_give_them() -> None:
    assert options("--data d").inputs.absolute() == {"data": str(Path.cwd() / "d"), "weights": None}
