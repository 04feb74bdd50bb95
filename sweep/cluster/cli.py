"""The verbs of ``python -m sweep.cluster``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from sweep.cluster.config import cluster_file
from sweep.engine.ray_session import ClusterError
from sweep.monitor.console import Terminal
from trainables.errors import UserError

OK, NOT_OK, BAD_INPUT = 0, 1, 2
"""Exit status: part of the command's contract."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(
        prog="python -m sweep.cluster",
        description="Check, wait for, examine and terminate a cluster of `ray up`.",
        epilog="exit status: 0 all is well · 1 it is not, the reasons are printed · 2 bad input. docs/cluster.md shows each step.",
    )
    verbs = p.add_subparsers(dest="verb", required=True)
    token = verbs.add_parser("token", help="create ~/.ray/auth_token, readable by you only")
    token.add_argument("--file", metavar="FILE", help="another place")
    check = verbs.add_parser("check", help="find errors in a cluster file before it costs anything")
    check.add_argument("file")
    check.add_argument("--storage", metavar="DIR|URI", help="write to it and read it back")
    wait = verbs.add_parser("wait", help="wait until all nodes have joined; or say which have not, and why")
    wait.add_argument("--timeout", type=float, default=600, metavar="S", help="seconds (default: 600)")
    wait.add_argument(
        "--nodes", type=int, metavar="N", help="how many, including the head (default: what the file says)"
    )
    doctor = verbs.add_parser("doctor", help="examine a running cluster")
    doctor.add_argument(
        "--storage",
        metavar="DIR|URI",
        help="where studies are: every node writes to it, and reads what the others wrote",
    )
    for verb in (wait, doctor):
        verb.add_argument("file", nargs="?", help="a cluster file: run on its head over ssh (default: run here)")
        verb.add_argument("--address", default="auto", metavar="ADDR", help="of the cluster (default: auto)")
    spot = verbs.add_parser(
        "spot", help="on a spot node: wait for the notice that it will be taken away, and have Ray drain it"
    )
    spot.add_argument("--address", default="auto", metavar="ADDR", help="of the cluster (default: auto)")
    down = verbs.add_parser("down", help="terminate the cluster with all workers, and verify that nothing is left")
    down.add_argument("file")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = parser().parse_args(argv)
    terminal = Terminal()
    verbs = {"token": _token, "check": _check, "wait": _wait, "doctor": _doctor, "spot": _spot, "down": _down}
    try:
        return verbs[arguments.verb](arguments, terminal)
    except UserError as error:
        terminal.faults(error.faults)
        return BAD_INPUT
    except ClusterError as error:
        terminal.faults([str(error)])
        return NOT_OK
    except KeyboardInterrupt:
        return 130


def _token(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from pathlib import Path

    from sweep.engine.auth_token import make_token

    terminal.say(f"token: {make_token(Path(arguments.file) if arguments.file else None)}")
    return OK


def _check(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from sweep.cluster.checks.all_checks import errors
    from sweep.cluster.config.instance_types import hourly_price

    file = cluster_file.read(arguments.file)
    if found := errors(file, arguments.storage):
        terminal.faults(found)
        return NOT_OK
    terminal.say(f"{arguments.file}: no error found")
    if file.provider == "aws":
        terminal.say(str(hourly_price(file)))
    return OK


def _wait(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from sweep.cluster.nodes import head_ssh, wait_for_nodes

    if arguments.file:
        file = cluster_file.read(arguments.file)
        wanted = ["--nodes", str(arguments.nodes or wait_for_nodes.expected(file)), "--timeout", str(arguments.timeout)]
        if head_ssh.on_head(file, ["wait", *wanted]) == OK:
            return OK
        for error in wait_for_nodes.why_missing(file):
            terminal.faults([error])
        return NOT_OK
    _use_token()
    errors = wait_for_nodes.wait(arguments.address, arguments.nodes or 1, arguments.timeout, terminal.say)
    if errors:
        terminal.faults(errors)
    return NOT_OK if errors else OK


def _doctor(arguments: argparse.Namespace, terminal: Terminal) -> int:
    if arguments.file:
        from sweep.cluster.nodes import head_ssh

        rest = ["--storage", arguments.storage] if arguments.storage else []
        return head_ssh.on_head(cluster_file.read(arguments.file), ["doctor", *rest])
    from sweep.cluster.nodes import node_health

    _use_token()
    lines, errors = node_health.examine(arguments.address, arguments.storage)
    for line in lines:
        terminal.say(line)
    if errors:
        terminal.faults(errors)
    else:
        terminal.say("the cluster is well")
    return NOT_OK if errors else OK


def _spot(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from sweep.cluster.nodes import spot_notice

    _use_token()
    spot_notice.watch(
        spot_notice.Metadata(), lambda taken: spot_notice.drain_here(arguments.address, taken), terminal.say
    )
    return OK


def _down(arguments: argparse.Namespace, terminal: Terminal) -> int:
    from sweep.cluster.nodes import teardown

    left = teardown.terminate(cluster_file.read(arguments.file), terminal.say)
    if left:
        terminal.faults(left)
    return NOT_OK if left else OK


def _use_token() -> None:
    """Set the variables of authentication. Ray reads them when it is imported, so this comes first."""
    from sweep.engine.auth_token import own_token

    os.environ.update(own_token())
