"""Plain lines on the standard streams, a live view in a terminal, and no markup in any text."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweep.monitor.console import Terminal
from sweep.monitor.progress_stats import ProgressSnapshot
from sweep.plan.plan import Plan
from tests.sweep.support.live_views import NASTY, finish, text_of

printable = st.text(st.characters(categories=["L", "N", "P", "S"], include_characters=" "), min_size=1, max_size=40)


def test_results_go_to_the_output_and_faults_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.say("a result")
    terminal.raw('{"a": 1}')
    terminal.note("a note")
    terminal.faults(["one", "two"])
    out, err = capsys.readouterr()
    assert out == 'a result\n{"a": 1}\n'
    assert err == "a note\nerror: one\nerror: two\n"


def test_text_is_written_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.say(NASTY)
    terminal.note(NASTY)
    terminal.faults([NASTY])
    out, err = capsys.readouterr()
    assert out == NASTY + "\n"
    assert err == f"{NASTY}\nerror: {NASTY}\n"


def test_control_characters_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal, hostile = Terminal(), "a class \x1b]0;title\x07\x1b[2J\x9b1m \u202e end"
    table = Table(hostile)
    table.add_row(Text(hostile))
    terminal.say(hostile)
    terminal.note(hostile)
    terminal.faults([hostile])
    terminal.show(table)
    said = "".join(capsys.readouterr())
    assert not set(said) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert said.count(r"\x1b[2J") == 3, "and in the table as far as there is room"


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


def test_colours_that_are_forced_into_a_file_do_not_repaint_it(
    plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    terminal = Terminal()
    with terminal.preparing() as progress:
        progress("cells", 10, 100)
    with terminal.live_view(plan.stages, {}, lambda: ProgressSnapshot("GPUs", 2, 0)) as view:
        assert view.live is None
        finish(view, plan.stages[0])
    out, err = capsys.readouterr()
    assert plan.stages[0].name in out
    assert not re.search(r"\x1b\[[^m]*[A-LN-Za-ln-z]|\r", out + err), "cursor movements, other than colours"


def test_preparing_shows_a_bar_in_a_terminal() -> None:
    terminal = Terminal()
    terminal.err = Console(file=io.StringIO(), force_terminal=True, width=80)
    with terminal.preparing() as progress:
        progress("cells", 10, 100)
        progress("cells", 60, 100)
    assert "preparing cells" in text_of(terminal.err)
    assert "60/100" in text_of(terminal.err)


def test_a_view_is_live_in_a_terminal_only(plan: Plan) -> None:
    for is_terminal in (True, False):
        terminal = Terminal()
        terminal.out = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
        with terminal.live_view(plan.stages, {}, lambda: ProgressSnapshot("GPUs", 2, 0)) as view:
            assert (view.live is not None) == is_terminal
            finish(view, plan.stages[0])
        shown = text_of(terminal.out)
        assert "[1/9]" in shown
        assert ("fold 0" in shown) == is_terminal
        assert ("\x1b" in shown) == is_terminal
