"""How a run ends, or does not, under a shell in a terminal: signals to whole process groups, hang-ups, Ctrl-Z, ``| head``.

Each is a real run with Ray at work. The next call must go on, and end with the bits of a run that nobody disturbed.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.sweep.support.tiny_grid import tiny_grid

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
GRID = tiny_grid(images=12, pretrain_epochs=30, finetune_epochs=30)
RUN = f"{shlex.quote(sys.executable)} -m sweep.run --grid tiny.yaml"
STAGES = 9


class Terminal:
    """An interactive shell in a terminal of its own, which is typed into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = b""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PS1": "$ ", "TERM": "xterm", "COLUMNS": "120"}
        child, self._end = pty.fork()
        if child == 0:
            os.chdir(folder)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)  # noqa: S606 - the shell of the test
        self.shell = psutil.Process(child)
        os.set_blocking(self._end, False)

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def wait(self, condition: Callable[[], object], seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, self.said.decode(errors="replace")[-3000:]
            with suppress(OSError):  # nothing to read, or nobody there any more
                self.said += os.read(self._end, 1 << 16)
            time.sleep(0.05)

    def status(self, seconds: float = 120) -> int:
        """Wait until ``ended N`` is printed by the command line that was typed; return N."""
        ended = re.compile(rb"ended (\d+)\r")
        self.wait(lambda: ended.search(self.said), seconds)
        return int(ended.findall(self.said)[-1])

    def hang_up(self) -> None:
        os.close(self._end)

    def end(self) -> None:
        with suppress(OSError):
            self.hang_up()
        with suppress(psutil.Error):
            for process in [*self.shell.children(recursive=True), self.shell]:
                with suppress(psutil.Error):
                    process.kill()
            os.waitpid(self.shell.pid, 0)


def outcome(folder: Path) -> dict[str, dict[str, str]]:
    found = {}
    for file in (folder / "studies/tiny/stages").glob("*/result.json"):
        digests = json.loads(file.read_text())["digests"]
        found[file.parent.name] = {
            n: digests[n] for n in ("weights.safetensors", "predictions.parquet") if n in digests
        }
    return found


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shlex.split(RUN),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.yaml").write_text(GRID)
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return outcome(folder)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "tiny.yaml").write_text(GRID)
    opened = Terminal(tmp_path)
    try:
        yield opened
    finally:
        opened.end()
        until = time.monotonic() + 20
        while left := of_this_study(tmp_path):
            assert time.monotonic() < until, left
            time.sleep(0.2)


def of_this_study(folder: Path) -> list[str]:
    """The processes that were started in the folder and are there still."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()) == folder and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:80]}")
    return found


def command(terminal: Terminal) -> psutil.Process:
    """The run itself, a child of the shell."""
    found = [one for one in terminal.shell.children(recursive=True) if "sweep.run" in " ".join(one.cmdline())]
    return found[0]


def begin(terminal: Terminal, before: str = "", after: str = "", done: int = 2) -> psutil.Process:
    """Type the command, and wait until it has trained some stages."""
    terminal.type(f"{before}{RUN} {after}; echo ended $?\n")
    terminal.wait(lambda: len(outcome(terminal.folder)) >= done)
    return command(terminal)


def goes_on(terminal: Terminal, undisturbed: dict[str, dict[str, str]]) -> None:
    kept = {file: file.read_bytes() for file in terminal.folder.glob("studies/tiny/stages/*/result.json")}
    done = run(terminal.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {file: file.read_bytes() for file in kept} == kept, "nothing that was done is done again"
    assert outcome(terminal.folder) == undisturbed
    assert len(undisturbed) == STAGES


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_the_whole_group_is_a_clean_stop(
    number: signal.Signals, status: int, terminal: Terminal, undisturbed: dict[str, dict[str, str]]
) -> None:
    process = begin(terminal)
    os.killpg(os.getpgid(process.pid), number)
    assert terminal.status(40) == status
    assert b"Traceback" not in terminal.said
    assert list(terminal.folder.glob("studies/tiny/stages/*/checkpoint*")), "the stages under way have saved"
    goes_on(terminal, undisturbed)


def test_a_signal_to_every_process_is_a_clean_stop(terminal: Terminal, undisturbed: dict[str, dict[str, str]]) -> None:
    """As systemd and Slurm send it."""
    process = begin(terminal)
    for one in [*process.children(recursive=True), process]:
        with suppress(psutil.Error):
            one.terminate()
    assert terminal.status(40) == 143
    assert list(terminal.folder.glob("studies/tiny/stages/*/checkpoint*"))
    goes_on(terminal, undisturbed)


def test_a_terminal_that_closes_is_a_clean_stop(terminal: Terminal, undisturbed: dict[str, dict[str, str]]) -> None:
    process = begin(terminal)
    terminal.hang_up()
    process.wait(40)
    assert list(terminal.folder.glob("studies/tiny/stages/*/checkpoint*"))
    goes_on(terminal, undisturbed)


def test_with_nohup_it_outlives_the_terminal(terminal: Terminal, undisturbed: dict[str, dict[str, str]]) -> None:
    process = begin(terminal, before="nohup ")
    terminal.hang_up()
    os.killpg(os.getpgid(process.pid), signal.SIGHUP)
    process.wait(120)
    assert outcome(terminal.folder) == undisturbed


def test_ctrl_c_twice_ends_at_once(terminal: Terminal, undisturbed: dict[str, dict[str, str]]) -> None:
    begin(terminal)
    terminal.type("\x03")
    time.sleep(0.3)
    terminal.type("\x03")
    assert terminal.status(40) == 130
    assert b"Traceback" not in terminal.said
    goes_on(terminal, undisturbed)


def test_after_ctrl_z_and_fg_no_stage_counts_as_hung(
    terminal: Terminal, undisturbed: dict[str, dict[str, str]]
) -> None:
    process = begin(terminal, after="--hang-timeout 15s", done=1)
    terminal.type("\x1a")
    terminal.wait(lambda: process.status() == psutil.STATUS_STOPPED, 10)
    time.sleep(20)
    terminal.type("fg\n")
    terminal.wait(lambda: not process.is_running(), 150)
    assert b"heartbeat" not in terminal.said
    assert b"attempt 2" not in terminal.said
    assert outcome(terminal.folder) == undisturbed


def test_a_study_goes_on_when_its_reader_has_gone(terminal: Terminal, undisturbed: dict[str, dict[str, str]]) -> None:
    terminal.type(f"{RUN} | head -2; echo ended ${{PIPESTATUS[0]}}\n")
    assert terminal.status(150) == 0
    assert outcome(terminal.folder) == undisturbed
    assert (terminal.folder / "studies/tiny/report/index.html").is_file()


@pytest.mark.parametrize("module", ["sweep.run --help", "sweep.run --grid tiny.yaml --plan"])
def test_a_short_command_ends_quietly_when_its_reader_has_gone(module: str, terminal: Terminal) -> None:
    terminal.type(f"{shlex.quote(sys.executable)} -m {module} | head -1; echo ended ${{PIPESTATUS[0]}}\n")
    assert terminal.status(60) == 0
    assert b"BrokenPipe" not in terminal.said
    assert b"Traceback" not in terminal.said


def test_no_process_stays_when_the_command_is_killed(
    terminal: Terminal, undisturbed: dict[str, dict[str, str]]
) -> None:
    process = begin(terminal)
    family = process.children(recursive=True)
    process.kill()
    _, left = psutil.wait_procs(family, timeout=100)  # Ray's agents give up on their cluster after a minute
    assert not left, [one.cmdline()[:3] for one in left if one.is_running()]
    goes_on(terminal, undisturbed)
