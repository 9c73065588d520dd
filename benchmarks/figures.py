"""What benchmarks share: figures beside those that are wanted, and measures in processes of their own."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, NoReturn

PEAK = "peak of memory"
APART = "--apart"

Spent = tuple[float, ...]
"""Seconds on the clock and of processors; or megabytes."""


class Figures:
    """A table in Markdown, and whether all that is wanted is reached."""

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._met: list[bool] = []

    def at_most(self, name: str, measured: float, wanted: float, unit: str = "", detail: str = "") -> None:
        """Add a figure that is not to exceed another."""
        self._judge(name, measured, f"at most {wanted:,g}{unit}", unit, detail, met=measured <= wanted)

    def at_least(self, name: str, measured: float, wanted: float, unit: str = "", detail: str = "") -> None:
        """Add a figure that is to reach another."""
        self._judge(name, measured, f"at least {wanted:,g}{unit}", unit, detail, met=measured >= wanted)

    def noted(self, name: str, measured: float, unit: str = "", detail: str = "") -> None:
        """Add a figure from which nothing is wanted."""
        self._rows.append(f"| {name} | {_written(measured)}{unit}{detail} | | |")

    def finish(self, *, met: bool = True) -> NoReturn:
        """Print the table, and end with code 1 if a figure is not reached, here or elsewhere (`met`)."""
        print("\n| Measure | Measured | Wanted | |\n|---|---:|---:|---|")
        print("\n".join(self._rows), flush=True)
        raise SystemExit(not (met and all(self._met)))

    def _judge(self, name: str, measured: float, wanted: str, unit: str, detail: str, *, met: bool) -> None:
        self._met.append(met)
        verdict = "met" if met else "NOT met"
        self._rows.append(f"| {name} | {_written(measured)}{unit}{detail} | {wanted} | {verdict} |")


def _written(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"  # noqa: PLR2004 - three digits tell enough


class Stopwatch:
    """Times of the stages of one measure."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = {}

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Note the time on the clock and of processors that a block takes: on a busy machine they differ."""
        start, used = time.perf_counter(), time.process_time()
        yield
        self.spent[what] = time.perf_counter() - start, time.process_time() - used


class Measure(NamedTuple):
    """Something to measure, how often, and the most that is wanted of its stages."""

    run: Callable[[Stopwatch], None]
    repeats: int = 3
    wanted: Mapping[str, float] = {}


def measure_apart(script: str, measures: Mapping[str, Measure]) -> None:
    """Run each measure in processes of their own, so that its peak of memory is its own; the least counts.

    Arguments of the script choose among the measures.
    """
    if APART in sys.argv:
        _measured(measures[sys.argv[-1]])
        return
    figures = Figures()
    for name in sys.argv[1:] or measures:
        measure = measures[name]
        command = [sys.executable, script, APART, name]
        runs: list[dict[str, Spent]] = []
        for _ in range(measure.repeats):
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 - the very script
            runs.append(json.loads(done.stdout.splitlines()[-1]))
        for stage in runs[0]:
            best = min(run[stage] for run in runs)
            unit = " MB" if stage == PEAK else " s"
            detail = f" (processors {best[1]:.2f} s)" if stage != PEAK else ""
            label = f"{name}: {stage}"
            if stage in measure.wanted:
                figures.at_most(label, best[0], measure.wanted[stage], unit, detail)
            else:
                figures.noted(label, best[0], unit, detail)
    figures.finish()


def _measured(measure: Measure) -> None:
    """Run one measure, and print what it took, as JSON, in the last line."""
    watch = Stopwatch()
    measure.run(watch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(watch.spent | {PEAK: (peak,)}))
