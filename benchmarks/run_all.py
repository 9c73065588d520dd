"""Run every benchmark that has figures to reach, and say which are met. ``python benchmarks/run_all.py``.

Its output is Markdown, for docs/performance.md. Needs the mirror, two cores and a quiet machine.
"""

import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    "bench_api.py",
    "bench_commands.py",
    "bench_facilities.py",
    "bench_locate.py",
    "bench_overlay.py",
    "bench_refresh.py",
    "bench_layers.py",
    "growth.py",
    "growth_releases.py",
)
"""Each ends with a code that is not 0 if a figure is not reached or answers differ."""


def main() -> None:
    folder, verdicts = Path(__file__).parent, {}
    print(f"Load before: {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    for script in SCRIPTS:
        print(f"\n## `python benchmarks/{script}`\n", flush=True)
        done = subprocess.run([sys.executable, folder / script], check=False)  # noqa: S603 - our own
        verdicts[script] = "met" if not done.returncode else f"NOT met (exit code {done.returncode})"
    print("\n## In all\n\n| Benchmark | Wanted figures |\n|---|---|")
    for script, verdict in verdicts.items():
        print(f"| {script} | {verdict} |")
    raise SystemExit(any(verdict != "met" for verdict in verdicts.values()))


if __name__ == "__main__":
    main()
