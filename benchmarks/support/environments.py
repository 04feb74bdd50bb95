"""The machine of a benchmark, and the Python environments of the peers."""

from __future__ import annotations

import os
import platform
import site
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("SCENARIO_SWEEP_CACHE", Path.home() / ".cache" / "scenario-sweep")) / "benchmarks"
OURS = Path(sys.executable)
PEERS = ("lightning==2.6.6", "webdataset==1.0.2", "litdata==0.2.76")


def environment(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of an environment that has the requirements, made where it does not exist yet.

    It sees the packages of the running interpreter, which are not changed: torch is the same and installed once.

    Args:
        name: of the environment's folder.
        requirements: as for pip.
    """
    folder = CACHE / name
    python, mark = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join([*requirements, *site.getsitepackages()]) + "\n"
    if mark.is_file() and mark.read_text() == wanted:
        return python
    say(f"making an environment for {name}: {', '.join(requirements)}")
    venv.create(folder, with_pip=True, clear=True)
    own = next((folder / "lib").glob("python*")) / "site-packages"
    (own / "running.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    subprocess.run(command, check=True, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
    mark.write_text(wanted)
    return python


def peers() -> Path:
    """Return the interpreter of the environment that has PEERS."""
    return environment("peers", PEERS)


def machine() -> str:
    """Return the processor, the cores this process may use and the memory, in words."""
    cpu, memory = platform.processor(), ""
    if Path("/proc/cpuinfo").is_file():
        models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = models[0].partition(":")[2].strip() if models else cpu
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return f"{cores()} cores of {cpu}{memory}"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def peer_versions(*names: str) -> dict[str, str]:
    """Return the versions of some of PEERS."""
    known = dict(peer.split("==") for peer in PEERS)
    return {name: known[name] for name in names}


def version_of(name: str) -> str:
    """Return the version of an installed package, without importing it."""
    from importlib.metadata import version

    return version(name)


def say(text: str) -> None:
    """Write a line for the person who waits."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
