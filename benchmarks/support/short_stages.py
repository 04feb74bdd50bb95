"""Short real stages of generated cells, as orders in a file: the same work for whoever runs them.

``python benchmarks/support/short_stages.py FILE N`` runs one of them and exits: a process a cell.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from sweep.engine.trial_request import TrialRequest  # noqa: E402 - of this checkout, whichever is installed

FILE = "orders.txt"


def write(folder: Path, count: int) -> Path:
    """Prepare the data and write trial requests, one a line: fine-tunings that differ in the learning rate.

    Args:
        folder: for the data, the study and the file.
        count: requests.
    """
    from tests.trainables.support.stage_bench import make_bench

    bench = make_bench(folder / "data")
    study = bench.study(folder / "study")
    rates = [0.01 + 0.0001 * number for number in range(count)]
    stages = [bench.stage(learning_rate=rate, scenario="Random", name=f"short-{rate:.4f}") for rate in rates]
    file = folder / FILE
    file.write_text(
        "".join(TrialRequest(stage, study.storage.location, bench.runtime, 1).dumps() + "\n" for stage in stages)
    )
    return file


def read(file: Path) -> list[TrialRequest]:
    """Return the orders of a file."""
    return [TrialRequest.loads(line) for line in file.read_text().splitlines()]


def run(order: TrialRequest) -> None:
    """Run a stage in this process, on the threads it asks for."""
    from trainables.stage.run import run_stage
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    for _ in run_stage(order.stage, Study(Storage(order.study)), order.runtime):
        pass


def scores(file: Path) -> dict[str, float]:
    """Return the test score of each stage that was run: equal bits, whoever ran it."""
    from trainables.store.storage import Storage
    from trainables.store.study import Study

    orders = read(file)
    committed = Study(Storage(orders[0].study)).committed([order.stage for order in orders])
    return {key: float(result["metrics"]["test_f1_macro"]) for key, result in committed.items()}


if __name__ == "__main__":
    run(read(Path(sys.argv[1]))[int(sys.argv[2])])
