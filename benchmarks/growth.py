"""How the cost of `locate` grows with the points and with the QPV. ``python benchmarks/growth.py [POINTS]``.

Prints a table in Markdown and draws docs/images/croissance.png. Points and QPV are those of
``bench_locate.py``; each measure is the best of three. A cost that grows linearly has an exponent of 1 or
less: the slope in logarithms, fitted to the measures.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from bench_locate import Race, build, edges, metropolitan_qpv, scatter

from qpv_geo.analysis.locate import contains, locate

mpl.use("Agg")
from matplotlib import pyplot as plt

POINTS = 8_000_000
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
REPEATS = 3
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "croissance.png"
LABELS = {"build": "index", "contains": "oui ou non", "locate": "avec distances"}

Measures = list[tuple[int, dict[str, float]]]


def main() -> None:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else POINTS
    qpv = metropolitan_qpv()
    x, y = scatter(qpv, points)
    order = np.random.default_rng(5).permutation(len(qpv))

    def measure(count: int, zones: int) -> dict[str, float]:
        some, race = qpv.iloc[np.sort(order[:zones])], Race()
        for _ in range(REPEATS):
            index = race.run("build", lambda: build(some, 2154))
            race.run("edges", edges, index)
            race.run("contains", contains, index, x[:count], y[:count])
            race.run("locate", locate, index, x[:count], y[:count])
        times = {name: race.best(name) for name in ("build", "contains", "locate")}
        return times | {"build": times["build"] + race.best("edges")}

    by_points = [(int(points * share), measure(int(points * share), len(qpv))) for share in SHARES]
    by_zones = [(int(len(qpv) * share), measure(points // 4, int(len(qpv) * share))) for share in SHARES]
    print("| points | QPV | index s | yes or no s | distances s |\n|---:|---:|---:|---:|---:|")
    for count, times in by_points:
        print(
            f"| {count:,} | {len(qpv):,} | " + " | ".join(f"{value:.3f}" for value in times.values()) + " |"
        )
    for zones, times in by_zones:
        print(f"| {points // 4:,} | {zones:,} | " + " | ".join(f"{v:.3f}" for v in times.values()) + " |")
    draw({"points": by_points, "QPV": by_zones})


def draw(measures: dict[str, Measures]) -> None:
    """Draw the times against what they grow with, and the line that a proportional cost would follow."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, (what, rows) in zip(axes, measures.items(), strict=True):
        sizes = np.array([size for size, _ in rows])
        for name in LABELS if what == "QPV" else ("contains", "locate"):
            times = np.array([best[name] for _, best in rows])
            slope = np.polyfit(np.log(sizes), np.log(times), 1)[0]
            axis.loglog(sizes, times, "o-", label=f"{LABELS[name]} (exposant {slope:.2f})")
        axis.loglog(sizes, times[-1] * sizes / sizes[-1], "--", color="grey", label="proportionnel")
        axis.set(xlabel=f"nombre de {what}", ylabel="secondes")
        axis.legend()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
