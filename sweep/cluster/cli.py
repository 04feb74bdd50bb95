"""The verbs of ``python -m sweep.cluster``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from sweep.cluster.config import cluster_file
from sweep.engine.ray_session import ClusterError
from sweep.monitor.console import Terminal
from trainables.errors import UserError

BAD = 2
WELL, UNWELL = 0, 1


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m sweep.cluster",
        description="Check, await, examine and take down a cluster of `ray up`.",
        epilog="exit status: 0 all is well · 1 it is not, and what is said · 2 bad input. docs/cluster.md goes through it.",
    )
    verbs = p.add_subparsers(dest="verb", required=True)
    token = verbs.add_parser("token", help="make ~/.ray/auth_token, readable by you alone")
    token.add_argument("--file", metavar="FILE", help="another place")
    check = verbs.add_parser("check", help="all that can be known of a cluster file before it costs anything")
    check.add_argument("file")
    check.add_argument("--storage", metavar="DIR|URI", help="write to it, and read it back")
    wait = verbs.add_parser("wait", help="until all nodes are in; or say which are not, and why")
    wait.add_argument("--timeout", type=float, default=600, metavar="S", help="seconds (default: 600)")
    wait.add_argument(
        "--nodes", type=int, metavar="N", help="how many, the head among them (default: what the file says)"
    )
    doctor = verbs.add_parser("doctor", help="whether a running cluster is well")
    doctor.add_argument(
        "--storage", metavar="DIR|URI", help="where studies lie: every node writes, and reads the others"
    )
    for verb in (wait, doctor):
        verb.add_argument("file", nargs="?", help="a cluster file: ask its head over ssh (default: ask from here)")
        verb.add_argument("--address", default="auto", metavar="ADDR", help="of the cluster (default: auto)")
    spot = verbs.add_parser(
        "spot", help="on a spot node: wait for the notice that it will be taken, and have it drained"
    )
    spot.add_argument("--address", default="auto", metavar="ADDR", help="of the cluster (default: auto)")
    down = verbs.add_parser("down", help="take the whole cluster down, workers and all, and look that it is gone")
    down.add_argument("file")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; return the exit status."""
    arguments = parser().parse_args(argv)
    terminal = Terminal()
    verbs = {"token": _token, "check": _check, "wait": _wait, "doctor": _doctor, "spot": _spot, "down": _down}
    try:
        return verbs[arguments.verb](arguments, terminal)
    except UserError as error:
        terminal.faults(error.faults)
        return BAD
    except ClusterError as error:
        terminal.faults([str(error)])
        return UNWELL
    except KeyboardInterrupt:
        return 130


def _token(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from pathlib import Path

    from sweep.engine.auth_token import make_token

    terminal.say(f"token: {make_token(Path(arguments.file) if arguments.file else None)}")
    return WELL


def _check(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from sweep.cluster.checks.all_checks import faults
    from sweep.cluster.config.instance_types import hourly_price

    file = cluster_file.read(arguments.file)
    if found := faults(file, arguments.storage):
        terminal.faults(found)
        return UNWELL
    terminal.say(f"{arguments.file}: nothing wrong that can be known from here")
    if file.provider == "aws":
        terminal.say(str(hourly_price(file)))
    return WELL


def _wait(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from sweep.cluster.nodes import head_ssh, wait_for_nodes

    if arguments.file:
        file = cluster_file.read(arguments.file)
        wanted = ["--nodes", str(arguments.nodes or wait_for_nodes.expected(file)), "--timeout", str(arguments.timeout)]
        if head_ssh.on_head(file, ["wait", *wanted]) == WELL:
            return WELL
        for fault in wait_for_nodes.why_missing(file):
            terminal.faults([fault])
        return UNWELL
    _use_token()
    faults = wait_for_nodes.wait(arguments.address, arguments.nodes or 1, arguments.timeout, terminal.say)
    if faults:
        terminal.faults(faults)
    return UNWELL if faults else WELL


def _doctor(arguments: argparse.Namespace, terminal: Terminal) -> int:
    if arguments.file:
        from sweep.cluster.nodes import head_ssh

        rest = ["--storage", arguments.storage] if arguments.storage else []
        return head_ssh.on_head(cluster_file.read(arguments.file), ["doctor", *rest])
    from sweep.cluster.nodes import node_health

    _use_token()
    lines, faults = node_health.examine(arguments.address, arguments.storage)
    for line in lines:
        terminal.say(line)
    if faults:
        terminal.faults(faults)
    else:
        terminal.say("the cluster is well")
    return UNWELL if faults else WELL


def _spot(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from sweep.cluster.nodes import spot_notice

    _use_token()
    spot_notice.watch(
        spot_notice.Metadata(), lambda taken: spot_notice.drain_here(arguments.address, taken), terminal.say
    )
    return WELL


def _down(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from sweep.cluster.nodes import teardown

    left = teardown.take_down(cluster_file.read(arguments.file), terminal.say)
    if left:
        terminal.faults(left)
    return UNWELL if left else WELL


def _use_token() -> None:
    """Ray reads how to authenticate when it is imported: this comes first."""
    from sweep.engine.auth_token import own_token

    os.environ.update(own_token())
