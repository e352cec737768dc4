"""`make bench`: run what has no record yet and print all tables; `python -m benchmarks NAME` runs one of them.

Each finished measurement is recorded in results/benchmarks/ at once: an interrupted run goes on where it stopped.
`python -m benchmarks --anew NAME` forgets what is recorded of one, and measures it again.
"""

import sys

from benchmarks import (
    containers,
    diagnose,
    generator,
    metrics_cost,
    overhead,
    pairs,
    predictions,
    quick,
    startup,
    tune,
)
from benchmarks.record import console, forget

BENCHMARKS = {
    "startup": startup.main,
    "metrics": metrics_cost.main,
    "predictions": predictions.main,
    "generator": generator.main,
    "containers": containers.main,
    "quick": quick.main,
    "pairs": pairs.main,
    "overhead": overhead.main,
    "diagnose": diagnose.main,
    "tune": tune.main,
}


def main(names: list[str]) -> int:
    """Measure and print; 0 when every target was reached, 1 when one was missed, 2 for an unknown name."""
    is_anew, names = "--anew" in names, [name for name in names if name != "--anew"]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names if is_anew else ():
        forget(name)
    held = [BENCHMARKS[name]() for name in names or BENCHMARKS]
    console.print("every target reached" if all(held) else "[bold red]a target was missed: see the tables")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
