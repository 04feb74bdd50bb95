"""``python -m sweep.run --grid NAME|FILE``: plan a study and run what is not done yet."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from trainables.streams import steady_streams

EPILOG = """exit status: 0 all done · 1 a stage failed (the others were run) · 2 bad input, nothing started ·
3 the study is held by another driver · 4 Ray did not start, or was lost: the same command resumes ·
129 / 130 / 143 interrupted: the same command resumes"""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m sweep.run",
        description="Run a study: architecture × scenario × fold × learning rate.",
        epilog=EPILOG,
    )
    p.add_argument(
        "--grid",
        required=True,
        metavar="NAME|FILE",
        help="an embedded grid (smoke, mini, paper, full_study) or a YAML file",
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the grid: an axis or a setting, e.g. fold=[0] or finetune.epochs=3",
    )
    _add_study(p)
    _add_plan(p)
    _add_cluster(p)
    _add_limits(p)
    _add_mirror(p)
    return p


def _add_study(p: argparse.ArgumentParser) -> None:
    """Add where the study and its inputs are, and which part of it runs."""
    group = p.add_argument_group("study")
    group.add_argument("--study", metavar="NAME", help="name of the study (default: the grid's)")
    group.add_argument(
        "--storage",
        default="studies",
        metavar="DIR|URI",
        help="folder or bucket of the studies (default: studies/ in the current folder)",
    )
    group.add_argument("--data", default="data", metavar="DIR", help="folder of the data sets (default: data/)")
    group.add_argument(
        "--weights",
        metavar="DIR",
        help="folder of initial weights (the download caches of torchvision and timm are searched as well)",
    )
    group.add_argument("--reuse", metavar="STUDY", help="copy finished stages from another study, after verifying them")
    group.add_argument(
        "--rehearse",
        action="store_true",
        help="run the whole grid with a handful of images and steps, as STUDY-rehearsal; missing weights are replaced by random ones",
    )
    group.add_argument("--cell", metavar="KEY|NAME", help="run one stage alone, in this process")


def _add_plan(p: argparse.ArgumentParser) -> None:
    """Add what is printed instead of running, and the device of its estimates."""
    group = p.add_argument_group("plan")
    group.add_argument("--plan", action="store_true", help="print what would run, and start nothing")
    group.add_argument("--json", action="store_true", help="with --plan: print JSON")
    group.add_argument(
        "--why",
        nargs=2,
        metavar=("A", "B"),
        help="print the fields in which two stages differ (each a name or the beginning of a key), and start nothing",
    )
    group.add_argument(
        "--device", default="cpu", metavar="NAME", help="with --plan: the device that estimates are for, e.g. a10g"
    )
    group.add_argument("--gpus", type=int, metavar="N", help="with --plan: how many devices")
    group.add_argument("--prices", metavar="FILE", help="a price table of your own, like sweep/cost/prices.yaml")


def _add_cluster(p: argparse.ArgumentParser) -> None:
    """Add where the stages run."""
    group = p.add_argument_group("cluster")
    group.add_argument(
        "--address", metavar="ADDR", help="a running Ray cluster (default: this machine); `auto` on a cluster's node"
    )
    group.add_argument(
        "--cluster",
        metavar="FILE",
        help="with --address: the cluster file, which says what the cluster may grow to (default: what `ray up` left on the head)",
    )
    group.add_argument(
        "--allow-open-cluster", action="store_true", help="with --address: join a cluster without authentication"
    )


def _add_limits(p: argparse.ArgumentParser) -> None:
    """Add the limits of a run."""
    group = p.add_argument_group("limits")
    group.add_argument("--fail-fast", action="store_true", help="start no more stages once one has failed for good")
    group.add_argument("--deadline", metavar="T", help="stop within this time: 90 (seconds), 45m, 12h, 2d; resumable")
    group.add_argument("--max-cost", type=float, metavar="M", help="stop before this run has cost this much; resumable")
    group.add_argument(
        "--price",
        type=float,
        metavar="P",
        help="price of one worker (GPU, or group of CPUs) for one hour (default: on demand, from the price table)",
    )
    group.add_argument(
        "--checkpoint",
        default="60",
        metavar="T",
        help="least time between two checkpoints of a running stage in the study (default: 60 seconds)",
    )
    group.add_argument(
        "--hang-timeout",
        default="30m",
        metavar="T",
        help="end and retry a stage that has started and then reports no progress for this long (default: 30m)",
    )
    group.add_argument(
        "--widest", type=int, metavar="N", help="most workers of one stage (default: the idle GPUs; 1 on CPUs)"
    )


def _add_mirror(p: argparse.ArgumentParser) -> None:
    """Add whether and where the study is mirrored."""
    group = p.add_argument_group("Weights & Biases")
    group.add_argument(
        "--wandb",
        choices=("auto", "online", "offline", "off"),
        default="auto",
        help="mirror the study in Weights & Biases (default: auto: online if there is a key and the server answers)",
    )
    group.add_argument("--wandb-project", metavar="NAME", help="default: WANDB_PROJECT, or scenario-sweep")
    group.add_argument("--wandb-entity", metavar="NAME", help="user or team (default: the owner of the key)")
    group.add_argument("--wandb-images", action="store_true", help="allow images of the data to leave this machine")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; None: those of this process.

    Returns:
        The exit status.
    """
    command_line = parser()
    given = command_line.parse_args(argv)
    if given.json and not given.plan:
        command_line.error("--json goes with --plan")
    try:
        from sweep.commands.exit_status import BAD_INPUT
        from sweep.commands.run_command import execute
        from sweep.commands.run_options import run_options
        from sweep.monitor.console import Terminal
        from trainables.errors import UserError
    except KeyboardInterrupt:  # importing takes a while on a busy machine, and the signal handler is not set up yet
        return 130
    try:
        options = run_options(given)
    except UserError as error:
        Terminal().faults(error.faults)
        return BAD_INPUT
    return execute(options)


if __name__ == "__main__":
    steady_streams()
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of a Ctrl-C while Ray and Python clean up
    sys.exit(status)
