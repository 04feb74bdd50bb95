"""Machines that are really apart, on one machine: each with an address, processes, files and an ssh server of its own.

They need root, or namespaces that a user may make; ``why_not`` says what is missing.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
TOOLS = ("ip", "unshare", "nsenter", "ssh", "ssh-keygen", "sshd", "ss", "rsync", "tmux", "curl")
USER = "root" if os.getuid() == 0 else "sweep"
OF_A_USER = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
OWN = [*OF_A_USER, "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
ENTER = [
    *([] if os.getuid() == 0 else ["--user", "--preserve-credentials"]),
    "--net",
    "--mount",
    "--pid",
    "--uts",
    "--ipc",
]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def why_not() -> str | None:
    """Say why this machine cannot hold such a network; None where it can."""
    absent = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    if absent:
        return (
            f"no {', '.join(absent)} (Debian: apt-get install curl iproute2 openssh-client openssh-server rsync tmux)"
        )
    trial = "ip link add name one type bridge && ip link add name two type veth peer name three && mount -t tmpfs none /run && mount -t devpts -o newinstance none /dev/pts"
    tried = subprocess.run(
        ["unshare", *OWN, "bash", "-c", trial],
        env={"PATH": PATH},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return None if tried.returncode == 0 else f"no namespaces for it: {tried.stderr.strip()}"


@dataclass(frozen=True)
class Host:
    """One of the machines."""

    name: str
    address: str
    network: Network

    @property
    def home(self) -> Path:
        """Its home, as it is seen from the machine below."""
        return self.network.folder / self.name / "home"

    @property
    def init(self) -> psutil.Process:
        """Its first process."""
        (found,) = (
            process
            for process in self.network.processes()
            if command_line(process).startswith("bash") and command_line(process).endswith(f" {self.name}")
        )
        return found

    def processes(self, holding: str = "") -> list[psutil.Process]:
        """Its processes, or those whose command line holds something."""
        return [p for p in self.init.children(recursive=True) if holding in command_line(p)]

    def popen(self, *command: str, **how: object) -> subprocess.Popen[str]:
        """Start a command on it, in its home, with an environment of its own."""
        environment = {"PATH": f"{sys.prefix}/bin:{PATH}", "HOME": str(self.network.folder / "home"), "USER": USER}
        line = ["nsenter", "--target", str(self.init.pid), *ENTER, *command]
        return subprocess.Popen(line, env=environment, text=True, cwd="/", stdin=subprocess.DEVNULL, **how)  # type: ignore[call-overload]

    def run(self, *command: str, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command on it to its end."""
        process = self.popen(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            said, complained = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(command, process.returncode, said, complained)

    def shell(self, command: str, seconds: float = 300) -> str:
        """Run a line of bash on it, in the project's folder; return what it said, and hold it to success."""
        done = self.run("bash", "-c", f"cd {PROJECT} && {command}", seconds=seconds)
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def cut(self) -> None:
        """Take the cable out."""
        self.network.order("cut", self.name)
        wait_for(f"{self.name} to be cut off", lambda: not self._connected())

    def mend(self) -> None:
        """Put the cable in again."""
        self.network.order("mend", self.name)
        wait_for(f"{self.name} to be connected", self._connected)

    def kill(self) -> None:
        """As if its power failed: nobody hears more of it, and all its processes end at once."""
        self.cut()
        first = self.init
        first.kill()
        wait_for(f"the end of {self.name}", lambda: not first.is_running())

    def start(self) -> None:
        """Switch it on."""
        log = self.network.folder / self.name / "log.txt"
        log.unlink(missing_ok=True)
        self.network.order("start", self.name)
        wait_for(f"the ssh server of {self.name}", lambda: log.exists() and "listening" in log.read_text())

    def _connected(self) -> bool:
        return "LOWER_UP" in self.run("ip", "link", "show", "eth0").stdout


@dataclass(frozen=True)
class Network:
    """Machines on one network."""

    folder: Path
    outer: subprocess.Popen[str]

    @property
    def shared(self) -> Path:
        """A folder that all see, at one path."""
        return self.folder / "shared"

    def order(self, verb: str, name: str) -> None:
        """Have something done to a machine: ``start``, ``cut`` or ``mend``."""
        assert self.outer.stdin is not None
        self.outer.stdin.write(f"{verb} {name}\n")
        self.outer.stdin.flush()

    def processes(self) -> list[psutil.Process]:
        """All there are."""
        return [p for p in psutil.Process(self.outer.pid).children(recursive=True) if p.is_running()]


@contextmanager
def network(folder: Path, machines: Mapping[str, str]) -> Iterator[dict[str, Host]]:
    """Bring machines up (name -> address); take them down with all that runs on them, also when this process is killed."""
    (folder / "shared").mkdir(parents=True)
    (folder / "home").mkdir()
    for name in machines:
        for part in ("home/.ssh", "tmp"):
            (folder / name / part).mkdir(parents=True, mode=0o700)
        for file in ("hosts", "passwd", "shadow", "group", "resolv.conf"):
            (folder / name / file).touch()
    line = ["bash", str(HERE / "network.sh"), str(folder), sys.prefix, str(PROJECT)]
    outer = subprocess.Popen(
        ["unshare", *OWN, *line, *(f"{name}={address}" for name, address in machines.items())],
        env={"PATH": PATH}, stdin=subprocess.PIPE, text=True, cwd="/",
    )  # fmt: skip
    try:
        made = Network(folder, outer)
        hosts = {name: Host(name, address, made) for name, address in machines.items()}
        for host in hosts.values():
            host.start()
        yield hosts
    finally:
        outer.kill()
        outer.wait()


def command_line(process: psutil.Process) -> str:
    """Return a process's command line, which Ray changes to what it does; empty where it is gone."""
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def kill_all(holding: str) -> None:
    """Kill the processes whose command line holds something: a temporary folder of the one who calls."""
    for process in psutil.process_iter():
        if holding in command_line(process):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def wait_for(what: str, found: Callable[[], object], seconds: float = 300) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: if it is not in time.
    """
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.1)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
