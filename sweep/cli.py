"""``scenario-sweep VERB``: the installed command. Each verb is a module that ``python -m`` runs as well."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from typing import NamedTuple

from trainables.errors import suggestion
from trainables.streams import steady_streams

BAD_INPUT = 2


class Verb(NamedTuple):
    """What a verb runs, and what the list of verbs says of it.

    Attributes:
        module: as ``python -m`` takes it. It is imported when its verb is used: none of them is needed for ``--help``.
        help: one line.
        arguments: that go before those of the user.
    """

    module: str
    help: str
    arguments: tuple[str, ...] = ()


VERBS = {
    "run": Verb("sweep.run", "plan a study and run the stages that are not done"),
    "status": Verb("sweep.status", "show the state of a study from its folder, during a run and after it"),
    "wandb": Verb("sweep.wandb", "upload a study to Weights & Biases afterwards: sync, attach, view, report"),
    "cluster": Verb("sweep.cluster", "check, await, examine and take down a cluster"),
    "simulate": Verb("sweep.simulate", "simulate the makespan of a grid on clusters of several sizes"),
    "report": Verb("analysis.report", "verify a study and write its tables, figures and report page"),
    "ask": Verb("analysis.ask", "answer a question by name, or compare rows of a study"),
    "compare": Verb("analysis.compare", "compare the scores of two studies"),
    "trace": Verb("analysis.trace", "show the stages, data and commands behind one number of a table"),
    "predict": Verb("analysis.predict", "score a folder of images with trained models of a study"),
    "gradcam": Verb("analysis.gradcam", "draw class activation maps of trained models, with checks"),
    "export": Verb("analysis.export", "write a trained model with a model card"),
    "bundle": Verb("analysis.bundle", "pack or verify the archive of a study"),
    "prepare": Verb("trainables.data", "decode a data set ahead of a run and describe it", ("prepare",)),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb as ``python -m`` would run its module.

    Args:
        argv: the verb and its arguments; None: those of the process.

    Returns:
        the exit status, where the verb does not end the process with one itself.

    Raises:
        SystemExit: the verb's own exit status.
    """
    if argv is None:
        steady_streams()
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] in (["--help"], ["-h"]):
        sys.stdout.write(usage())
        return 0
    if not given:
        sys.stderr.write(usage())
        return BAD_INPUT
    name, *rest = given
    verb = VERBS.get(name)
    if verb is None:
        hint = suggestion(name, VERBS, most=1)
        sys.stderr.write(f"error: no verb {name}{hint or '.'} scenario-sweep --help lists the verbs\n")
        return BAD_INPUT
    # A run tells how to go on with it in the words of sys.argv, so the module is given what `python -m` would give it.
    sys.argv[1:] = [*verb.arguments, *rest]
    runpy.run_module(verb.module, run_name="__main__", alter_sys=True)
    return 0


def usage() -> str:
    """Return the text of ``--help``: each verb with its line."""
    width = max(map(len, VERBS))
    lines = [f"  {name:{width}}  {verb.help}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: scenario-sweep VERB ...",
            "",
            *lines,
            "",
            "scenario-sweep VERB --help describes a verb. `scenario-sweep run ...` is `python -m sweep.run ...`, and so on.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
