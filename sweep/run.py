"""``python -m sweep.run --grid NAME|FILE``: plan a study and run what is not done yet."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

EPILOG = """exit status: 0 all done · 1 a stage failed (the others went on) · 2 bad input, nothing started ·
3 the study is held by another driver · 4 Ray did not start, or went: the same command goes on ·
130 / 143 interrupted: the same command goes on"""


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
    p.add_argument("--study", metavar="NAME", help="name of the study (default: the grid's)")
    p.add_argument(
        "--storage",
        default="studies",
        metavar="DIR|URI",
        help="where studies lie (default: studies/ in the current folder)",
    )
    p.add_argument("--data", default="data", metavar="DIR", help="folder of the data sets (default: data/)")
    p.add_argument(
        "--weights",
        metavar="DIR",
        help="folder of initial weights (the download caches of torchvision and timm serve as well)",
    )
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the grid: an axis or a setting, e.g. fold=[0] or finetune.epochs=3",
    )
    p.add_argument("--plan", action="store_true", help="print what would be done, and start nothing")
    p.add_argument(
        "--why",
        nargs=2,
        metavar=("A", "B"),
        help="print the fields in which two stages differ (name, or beginning of a key), and start nothing",
    )
    p.add_argument("--json", action="store_true", help="with --plan: for programs")
    p.add_argument(
        "--address", metavar="ADDR", help="a running Ray cluster (default: this machine); `auto` on a cluster's node"
    )
    p.add_argument(
        "--cluster",
        metavar="FILE",
        help="with --address: a cluster file, to know what it may grow to (default: what `ray up` left on the head)",
    )
    p.add_argument(
        "--allow-open-cluster", action="store_true", help="with --address: join a cluster that lets anyone in"
    )
    p.add_argument("--device", default="cpu", metavar="NAME", help="with --plan: what is estimated for, e.g. a10g")
    p.add_argument("--gpus", type=int, metavar="N", help="with --plan: how many of them")
    p.add_argument("--prices", metavar="FILE", help="a table of your own, like sweep/cost/prices.yaml")
    _add_limits(p)
    _add_mirror(p)
    p.add_argument("--cell", metavar="KEY|NAME", help="run one stage alone, in this process")
    return p


def _add_limits(p: argparse.ArgumentParser) -> None:
    """Add what a run may take, and what it may take over."""
    p.add_argument(
        "--rehearse",
        action="store_true",
        help="walk the whole grid with a handful of images and steps, in STUDY-rehearsal; weights that are not at hand are random stand-ins",
    )
    p.add_argument("--reuse", metavar="STUDY", help="take finished stages over from another study: verified, copied")
    p.add_argument("--fail-fast", action="store_true", help="start nothing more once a stage has failed for good")
    p.add_argument("--deadline", metavar="T", help="end within so long: 90 (seconds), 45m, 12h, 2d; resumable")
    p.add_argument("--max-cost", type=float, metavar="M", help="end before this run has cost so much; resumable")
    p.add_argument(
        "--price",
        type=float,
        metavar="P",
        help="of one worker (GPU, or CPU group) for one hour (default: on demand, by the price table)",
    )
    p.add_argument(
        "--checkpoint",
        default="60",
        metavar="T",
        help="keep stages under way in the study so often, at least so far apart (default: 60 seconds)",
    )
    p.add_argument(
        "--hang-timeout",
        default="30m",
        metavar="T",
        help="end a stage that has begun and then gave no sign of life for so long, and try it again (default: 30m)",
    )
    p.add_argument(
        "--widest",
        type=int,
        metavar="N",
        help="workers a stage is given at most (default: GPUs that are idle; 1 on CPUs)",
    )


def _add_mirror(p: argparse.ArgumentParser) -> None:
    """Add whether and where the study is mirrored."""
    p.add_argument(
        "--wandb",
        choices=("auto", "online", "offline", "off"),
        default="auto",
        help="mirror the study in Weights & Biases (default: auto, online where there is a key and the server answers)",
    )
    p.add_argument("--wandb-project", metavar="NAME", help="default: WANDB_PROJECT, or scenario-sweep")
    p.add_argument("--wandb-entity", metavar="NAME", help="user or team (default: the one of the key)")
    p.add_argument("--wandb-images", action="store_true", help="pictures of the data may leave this machine")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    command_line = parser()
    arguments = command_line.parse_args(argv)
    if arguments.json and not arguments.plan:
        command_line.error("--json goes with --plan")
    try:
        from sweep.commands.run_command import execute
    except KeyboardInterrupt:  # it takes a while on a machine that is busy, and nobody else listens yet
        return 130

    return execute(arguments)


if __name__ == "__main__":
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # one more Ctrl-C, while Ray and Python tidy up, is no traceback
    sys.exit(status)
