"""How costs grow with the points, the QPV and the communes. ``python benchmarks/growth.py [POINTS]``.

Points and QPV are those of ``bench_locate.py``, communes those of ``bench_overlay.py``: points are located in
QPV, and QPV are cut by communes. Prints a table in Markdown, and draws docs/images/croissance-points.svg,
croissance-qpv.svg and croissance-communes.svg. Each measure is the best of three. A cost that grows linearly
has an exponent of 1 or less: the slope in logarithms, fitted to the larger half of the sizes, where fixed
costs count for little. The run fails if that of points or QPV exceeds 1.1.
"""

import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pygal
from bench_locate import Race, build, edges, metropolitan_qpv, scatter
from bench_overlay import communes
from figures import Figures

from qpv_geo.analysis.overlay import cut_by_zones
from qpv_geo.locate.answers import contains, locate

POINTS = 8_000_000
SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
LARGER = slice(len(SHARES) // 2, None)
REPEATS = 3
EXPONENT = 1.1
PICTURES = Path(__file__).parents[1] / "docs" / "images"
WHAT = {name: f"croissance-{name.lower()}.svg" for name in ("points", "QPV", "communes")}
LABELS = {"build": "index", "contains": "oui ou non", "locate": "avec distances", "cut": "superposition"}
GROWING = {"points": ("contains", "locate"), "QPV": ("build", "contains", "locate"), "communes": ("cut",)}
"""What may grow with what: the index does not see the points."""

# In place of pygal's own style sheet, most of which is for tooltips.
CSS = """inline:
text { font: 12px sans-serif; fill: #333; }
.background { fill: white; }
.plot .background { fill: none; }
.axis path { stroke: #ddd; }
.axis.x text { text-anchor: middle; }
.axis.y text { text-anchor: end; }
.line, .dot { fill: none; stroke-width: 2; }
.tooltip, .tooltip-overlay, .overlay, .text-overlay { display: none; }
.color-0 { stroke: #0b5fa5; fill: #0b5fa5; }
.color-1 { stroke: #c2410c; fill: #c2410c; }
.color-2 { stroke: #4d7c0f; fill: #4d7c0f; }
.color-0 text, .color-1 text, .color-2 text { stroke: none; }
path.line { fill: none; }
"""

Times = dict[str, float]
Sizes = dict[int, Times]


def measure(points: int) -> dict[str, Sizes]:
    """Return the times of growing numbers of points, of QPV (with a quarter of the points), of communes."""
    qpv = metropolitan_qpv()
    x, y = scatter(qpv, points)
    order = np.random.default_rng(5).permutation(len(qpv))

    def best(count: int, zones: int) -> Times:
        some, race = qpv.iloc[np.sort(order[:zones])], Race()
        for _ in range(REPEATS):
            index = race.run("build", build, some, 2154)
            race.run("edges", edges, index)
            race.run("contains", contains, index, x[:count], y[:count])
            race.run("locate", locate, index, x[:count], y[:count])
        times = {name: race.best(name) for name in GROWING["QPV"]}
        return times | {"build": times["build"] + race.best("edges")}

    # By code, hence by department: a part of France in which no QPV lacks the communes around it.
    zones = communes()

    def cut(count: int) -> Times:
        some, race = zones.iloc[:count], Race()
        near = qpv.iloc[np.unique(qpv.sindex.query(some.geometry, predicate="intersects")[1])]
        for _ in range(REPEATS):
            race.run("cut", cut_by_zones, near, some, "commune")
        return {"cut": race.best("cut")}

    return {
        "points": {int(points * share): best(int(points * share), len(qpv)) for share in SHARES},
        "QPV": {int(len(qpv) * share): best(points // 4, int(len(qpv) * share)) for share in SHARES},
        "communes": {int(len(zones) * share): cut(int(len(zones) * share)) for share in SHARES},
    }


def draw(what: str, sizes: Sizes) -> None:
    """Draw times against sizes: a cost that grows linearly is a straight line."""
    chart = pygal.XY(
        width=720,
        height=400,
        css=[CSS],
        js=[],
        include_x_axis=True,
        x_title=f"nombre de {what}",
        y_title="secondes",
        legend_at_bottom=True,
        margin_right=50,
        value_formatter=lambda value: f"{value:g}".replace(".", ","),
        x_value_formatter=lambda value: f"{value:,.0f}".replace(",", "\u202f"),
    )
    for name in GROWING[what]:
        chart.add(LABELS[name], [(size, times[name]) for size, times in sizes.items()])
    text = chart.render(is_unicode=True)
    (PICTURES / WHAT[what]).write_text(text + "\n", encoding="utf-8")


def main() -> None:
    points = int(sys.argv[1]) if len(sys.argv) > 1 else POINTS
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "shapely", "geopandas"))
    print(f"python {platform.python_version()}, {packages}\n")
    measures, figures = measure(points), Figures()
    print("| Growing | Size | index s | yes or no s | distances s | cut s |\n|---|---:|---:|---:|---:|---:|")
    for what, sizes in measures.items():
        for size, times in sizes.items():
            cells = (f"{times[name]:.3f}" if name in times else "" for name in LABELS)
            print(f"| {what} | {size:,} | {' | '.join(cells)} |")
        draw(what, sizes)
        for name in GROWING[what]:
            seconds = [times[name] for times in sizes.values()]
            slope = np.polyfit(np.log(list(sizes)[LARGER]), np.log(seconds[LARGER]), 1)[0]
            label = f"exponent of {what}, {LABELS[name]}"
            if what == "communes":
                # QPV lie where people live, not where communes are many: more communes are not as many QPV.
                figures.noted(label, float(slope))
            else:
                figures.at_most(label, float(slope), EXPONENT)
    figures.finish()


if __name__ == "__main__":
    main()
