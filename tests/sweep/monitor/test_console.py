"""What a person sees: plain lines in a log, a live matrix in a terminal, and nothing that a name could spoil."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sweep.engine.callbacks import CANCELLED
from sweep.monitor.console import Terminal
from sweep.monitor.duration import duration
from sweep.monitor.live_view import LiveView
from sweep.monitor.plan_view import plan_tables
from sweep.monitor.progress_stats import ProgressSnapshot
from sweep.plan.inputs import Inputs
from sweep.plan.plan import Plan
from trainables.specs import Stage

NASTY = "[bold]x[/] [/nothing] :key: \\[a] {b} é☃"
RESULT = {"metrics": {"val_f1_macro": 0.8125}, "seconds": 12.3}


def plain(width: int = 120) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False, soft_wrap=True)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def plan(planned: Callable[..., Plan], grid_text: str) -> Plan:
    return planned(grid_text)


@pytest.fixture
def watch(plan: Plan) -> LiveView:
    return watch_of(plan)


def watch_of(plan: Plan, **more: Any) -> LiveView:
    snapshot = more.get("snapshot", ProgressSnapshot("GPUs", 2, 0))
    return LiveView(plain(), plan.stages, more.get("done", {}), lambda: snapshot)


def cells(plan: Plan, scenario: str, fold: int) -> list[Stage]:
    return [cell for cell in plan.cells if (cell.scenario, cell.fold) == (scenario, fold)]


def finish(watch: LiveView, stage: Stage, score: float = 0.8125) -> None:
    watch.started(stage, 1)
    watch.finished(stage, {"metrics": {"val_f1_macro": score}, "seconds": 12.3})


def lines(watch: LiveView) -> list[str]:
    return text_of(watch._console).splitlines()


def drawn(watch: LiveView, width: int = 120, height: int = 50) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(watch)
    return [line.rstrip() for line in text_of(console).splitlines()]


def test_results_go_to_the_output_and_faults_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.say("a result")
    terminal.raw('{"a": 1}')
    terminal.note("a note")
    terminal.faults(["one", "two"])
    out, err = capsys.readouterr()
    assert out == 'a result\n{"a": 1}\n'
    assert err == "a note\nerror: one\nerror: two\n"


def test_what_is_said_is_said_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.say(NASTY)
    terminal.note(NASTY)
    terminal.faults([NASTY])
    out, err = capsys.readouterr()
    assert out == NASTY + "\n"
    assert err == f"{NASTY}\nerror: {NASTY}\n"


printable = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), min_size=1, max_size=40)


@given(printable)
def test_no_text_is_taken_for_markup(text: str) -> None:
    terminal = Terminal()
    terminal.out.file = terminal.err.file = io.StringIO()
    terminal.say(text)
    terminal.faults([text])
    assert text_of(terminal.out) == f"{text}\nerror: {text}\n"


def test_a_long_line_is_not_broken_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a/long/path" * 30
    Terminal().say(f"report: {path}")
    assert capsys.readouterr().out == f"report: {path}\n"


def test_preparing_writes_nothing_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal().preparing() as progress:
        progress("cells", 10, 100)
        progress("tissue", 5, 5)
        progress("cells", 100, 100)
    assert capsys.readouterr() == ("", "")


def test_preparing_shows_a_bar_in_a_terminal() -> None:
    terminal = Terminal()
    terminal.err = Console(file=io.StringIO(), force_terminal=True, width=80)
    with terminal.preparing() as progress:
        progress("cells", 10, 100)
        progress("cells", 60, 100)
    assert "preparing cells" in text_of(terminal.err)
    assert "60/100" in text_of(terminal.err)


def test_lines_of_a_run(watch: LiveView, plan: Plan) -> None:
    pretrain, first, second, *_ = plan.stages
    finish(watch, pretrain)
    watch.started(first, 1)
    watch.failed(first, "ValueError: x", again=True, blocked=[])
    watch.started(first, 2)
    finish(watch, second, 0.9)
    shown = lines(watch)
    assert len(shown) == 4
    assert shown[0].startswith("    [1/9] pretrain tiny-random+tissue-")
    assert "val F1 0.812, 12 s; " in shown[0]
    assert shown[0].endswith(" left")
    assert shown[1].strip() == f"finetune {first.name}: failed, will be tried again: ValueError: x"
    assert f"finetune {first.name} (attempt 2)" in shown[2]
    assert shown[3].startswith("    [2/9] finetune")
    assert watch.errors == {}


def test_a_failure_names_what_it_blocks_and_is_kept_by_error(watch: LiveView, plan: Plan) -> None:
    pretrain = plan.stages[0]
    blocked = [cell for cell in plan.cells if cell.scenario == "Tissue"]
    watch.started(pretrain, 2)
    watch.failed(pretrain, "ValueError: x", again=False, blocked=blocked)
    other = cells(plan, "Random", 0)[0]
    watch.failed(other, "ValueError: x", again=False, blocked=[])
    assert "FAILED, blocks 4 stages: ValueError: x" in lines(watch)[1]
    assert "FAILED: the same error as before" in lines(watch)[2]
    assert list(watch.errors.values()) == [("ValueError: x", [pretrain, other])]
    assert "2 failed, 4 blocked" in watch.summary()
    matrix = "\n".join(drawn(watch))
    assert matrix.count("failed") == 2, "a cell of the matrix, and the summary"
    assert matrix.count("blocked") == 3, "two cells of the matrix, and the summary"


def test_a_stage_that_a_person_stopped_is_no_failure(watch: LiveView, plan: Plan) -> None:
    watch.failed(plan.stages[0], CANCELLED, again=False, blocked=plan.stages[1:3])
    assert "3 stopped" in watch.summary()
    assert "failed" not in watch.summary()
    assert not watch.errors


def test_errors_that_differ_in_numbers_are_kept_together(watch: LiveView, plan: Plan) -> None:
    one, other = cells(plan, "Random", 1)
    watch.failed(one, "ValueError: 8 of 12345678abcdef", again=False, blocked=[])
    watch.failed(other, "ValueError: 9 of 87654321fedcba", again=False, blocked=[])
    assert list(watch.errors.values()) == [("ValueError: 8 of 12345678abcdef", [one, other])]


def test_names_with_markup_come_through(planned: Any, document: dict[str, Any]) -> None:
    document["scenarios"][NASTY] = {"start": "im"}
    document["weights"] = {"im": {"tiny": {"file": "x"}}}
    plan = planned(document)
    watch = watch_of(plan)
    stage = next(cell for cell in plan.cells if cell.scenario == NASTY)
    watch.started(stage, 1)
    watch.failed(stage, f"Error: {NASTY}", again=False, blocked=[])
    assert f"Error: {NASTY}" in lines(watch)[-1].replace("  ", " ")
    assert any(NASTY in line for line in drawn(watch))
    console = plain()
    for table in plan_tables(plan, [], Inputs(missing=[f"weights {NASTY}: looked for"])):
        console.print(table)
    assert f"weights {NASTY}: looked for" in text_of(console)
    assert NASTY in text_of(console)


@pytest.mark.parametrize("width", [68, 80, 120])
def test_the_matrix_fits_and_shows_every_cell(planned: Any, document: dict[str, Any], width: int) -> None:
    document["split"]["folds"] = 5
    document["architectures"] = {"tf_efficientnet_lite0": {"model": "timm/test_resnet"}}
    document["axes"]["architecture"] = ["tf_efficientnet_lite0"]
    plan = planned(document)
    watch = watch_of(plan)
    for fold in range(5):
        for i, cell in enumerate(cells(plan, "Tissue", fold)):
            finish(watch, cell, 0.5 + fold / 100 + i / 1000)
    running = cells(plan, "Random", 3)[0]
    watch.started(running, 1)
    watch.progressed(running, {"epoch": 1, "epochs": 4})
    shown = drawn(watch, width)
    assert max(len(line) for line in shown) <= width
    together = "\n".join(shown)
    for fold in range(5):
        assert f"0.5{fold}1" in together, "the better of the two rates"
    assert "Tissue" in together
    assert "25%" in together
    assert "10 of 11 stages done" not in together
    assert "10 of 21 stages done" in " ".join(together.split())


def big_study(planned: Any, document: dict[str, Any], folds: int) -> Plan:
    """As many rows as the paper has: 4 networks with long names × 6 scenarios."""
    names = ["vgg19_bn", "resnet152", "regnet_y_32gf", "vit_l_32"]
    document["data"]["scenes"] = {"reader": "generated", "generator": "scenes"}
    document["weights"] = {"imagenet": {name: {"file": name} for name in names}}
    pretrain = {"": [], "+PCam": ["tissue"], "+CD": ["scenes"]}
    document["scenarios"] = {
        f"{start}{more}": {"start": start.lower(), "pretrain": sets}
        for start in ("Random", "ImageNet")
        for more, sets in pretrain.items()
    }
    document["split"]["folds"] = folds
    document["axes"] = {"architecture": names, "learning_rate": 0.01}
    return Plan(planned(document).grid, planned(document).stages)


def test_the_paper_fits_an_ssh_window_of_80_by_24(planned: Any, document: dict[str, Any]) -> None:
    plan = big_study(planned, document, 5)
    watch = watch_of(plan, snapshot=ProgressSnapshot("GPUs", 4, 4, time.monotonic() + 1e5, 1.0, 250.0))
    for cell in plan.cells[:50]:
        finish(watch, cell)
    for cell in plan.cells[90:94]:
        watch.started(cell, 1)
    shown = drawn(watch, 80, 24)
    assert len(shown) <= 23
    assert max(len(line) for line in shown) <= 80
    together = "\n".join(shown)
    for cell in plan.cells[90:94]:
        assert cell.name in together
        assert any(line.split()[:2] == [cell.architecture, cell.scenario] and "…" in line for line in shown)
    assert "250.00 spent" in " ".join(together.split())
    [rest] = [line for line in shown if "more" in line]
    assert "waiting" in rest
    larger = drawn(watch, 80, 60)
    assert sum(line.startswith(("vgg19", "resnet", "regnet", "vit")) for line in larger) == 24


def test_folds_that_do_not_fit_are_counted(planned: Any, document: dict[str, Any]) -> None:
    plan = big_study(planned, document, 12)
    watch = watch_of(plan)
    first, second, third = (cell for cell in plan.cells[:3])
    finish(watch, first, 0.5)
    watch.started(second, 1)
    watch.started(third, 1)
    watch.failed(third, "E", again=False, blocked=[])
    shown = drawn(watch, 80)
    assert max(len(line) for line in shown) <= 80
    assert shown[0].split() == ["architecture", "scenario", "done", "running", "failed", "best"]
    assert shown[1].split() == ["vgg19_bn", "Random", "1/12", "1", "1", "0.500"]


def test_long_names_are_cut_and_scores_are_not(planned: Any, document: dict[str, Any]) -> None:
    document["scenarios"] = {"A scenario with a name that goes on and on and on": {}}
    document["architectures"] = {"a_network_with_a_name_of_one_s_own": {"model": "timm/test_resnet"}}
    document["axes"]["architecture"] = ["a_network_with_a_name_of_one_s_own"]
    plan = planned(document)
    watch = watch_of(plan)
    for cell in plan.cells[:2]:
        finish(watch, cell, 0.75)
    shown = drawn(watch, 60)
    assert max(len(line) for line in shown) <= 60
    assert "0.750" in shown[1]
    assert "…" in shown[1]


def test_only_so_many_running_stages_are_listed(planned: Any, document: dict[str, Any]) -> None:
    plan = big_study(planned, document, 5)
    watch = watch_of(plan)
    for cell in plan.cells[:64]:
        watch.started(cell, 1)
    shown = drawn(watch, 80, 24)
    assert len(shown) <= 23
    assert any("and 56 more are running" in line for line in shown)


def test_the_matrix_as_it_goes(watch: LiveView, plan: Plan) -> None:
    assert sum(line.count("·") for line in drawn(watch)) == 4
    assert not any("0 s" in line and "finetune" in line for line in drawn(watch))
    one, two = cells(plan, "Random", 1)
    watch.started(one, 1)
    assert sum("…" in line for line in drawn(watch)) == 1
    finish(watch, two, 0.75)
    assert any("0.750…" in line for line in drawn(watch))
    finish(watch, one, 0.5)
    [row] = [line for line in drawn(watch) if "Random" in line]
    assert row.split() == ["tiny", "Random", "·", "0.750"]


def test_what_was_done_before_counts(plan: Plan) -> None:
    before = {str(stage.key): 0.6 for stage in plan.stages[:4]}
    watch = watch_of(plan, done=before)
    assert watch.summary() == "4 of 9 stages done, 0 of 2 GPUs busy, ? left"
    assert any("0.600" in line for line in drawn(watch))


def test_a_stage_without_a_val_score_does_not_end_the_run(plan: Plan) -> None:
    assert drawn(watch_of(plan, done={str(stage.key): None for stage in plan.stages}))


def test_the_numbers_are_in_every_view(plan: Plan) -> None:
    watch = watch_of(plan, snapshot=ProgressSnapshot("GPUs", 8, 7, time.monotonic() + 3 * 3600, 12.5, 1234.5))
    numbers = "7 of 8 GPUs busy, 3 h 00 min left, 12.50 of about 1,234.50 spent"
    assert watch.summary() == f"0 of 9 stages done, {numbers}"
    assert drawn(watch, 80)[-2:] == ["0 of 9 stages done; 0 s so far", numbers]
    assert " ".join(drawn(watch, 40)[-2:]) == numbers
    finish(watch, plan.stages[0])
    assert lines(watch)[-1].endswith("12 s; 3 h 00 min left")


def test_the_time_left_runs_down_while_nothing_happens(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = watch_of(plan, snapshot=ProgressSnapshot("workers", 2, 2, 1080.0))
    assert "80 s left" in watch.summary()
    now[0] += 30
    assert "50 s left" in watch.summary()
    now[0] += 300
    assert "0 s left" in watch.summary()


def test_a_log_gets_a_summary_now_and_then(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = watch_of(plan)
    watch.started(plan.stages[0], 1)
    for _ in range(8):
        now[0] += 10
        watch.progressed(plan.stages[0], {"epoch": 1, "epochs": 2})
    assert len(lines(watch)) == 2
    assert all("0 of 9 stages done, 0 of 2 GPUs busy, ? left" in line for line in lines(watch))


def test_watching_is_live_in_a_terminal_only(plan: Plan) -> None:
    for is_terminal in (True, False):
        terminal = Terminal()
        terminal.out = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
        with terminal.watching(plan.stages, {}, lambda: ProgressSnapshot("GPUs", 2, 0)) as watch:
            assert (watch.live is not None) == is_terminal
            finish(watch, plan.stages[0])
        said = text_of(terminal.out)
        assert "[1/9]" in said
        assert ("fold 0" in said) == is_terminal
        assert ("\x1b" in said) == is_terminal


def test_the_plan_as_tables(plan: Plan) -> None:
    states = ["done", "failed", *["waiting"] * 7]
    rows = [{"kind": stage.kind, "state": state} for stage, state in zip(plan.stages, states, strict=True)]
    console = plain(80)
    for table in plan_tables(plan, rows, Inputs()):
        console.print(table)
    table = [line.split() for line in text_of(console).splitlines()]
    assert ["architecture", "1:", "tiny", "8"] in table
    assert ["learning_rate", "2:", "0.02,", "0.05", "4"] in table
    assert ["pretrain", "1", "1", "0", "0", "0"] in table
    assert ["finetune", "8", "0", "1", "0", "8"] in table
    assert "8 cells, 9 stages; 12 if each cell trained its own pre-training: sharing saves 3" in text_of(console)
    assert "not at hand" not in text_of(console)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (48.4, "48 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (12 * 60, "12 min"),
        (59.4 * 60, "59 min"),
        (59.6 * 60, "1 h 00 min"),
        (3 * 3600 + 5 * 60, "3 h 05 min"),
        (47.9 * 3600, "47 h 54 min"),
        (52 * 3600, "2 d 4 h"),
        (1e7, "115 d 17 h"),
    ],
)
def test_a_duration_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
