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
from bench_locate import Race, build, edges, metropolitan_qpv, scatter
from bench_overlay import communes
from figures import Figures

from qpv_geo.analysis.overlay import cut_by_zones
from qpv_geo.french import number, short_number
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

COLOURS = ("#0b5fa5", "#c2410c", "#4d7c0f")
# Units of a picture, and what its axes take of them.
WIDTH, HEIGHT, LEFT, BOTTOM = 720, 400, 70, 90

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
    most = max(max(times[name] for name in GROWING[what]) for times in sizes.values())
    width, height = WIDTH - LEFT - 50, HEIGHT - BOTTOM - 20

    def at(size: float, seconds: float) -> tuple[float, float]:
        return LEFT + width * size / max(sizes), 20 + height * (1 - seconds / most)

    def text(x: float, y: float, words: str, anchor: str = "middle", colour: str = "#333") -> str:
        return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'

    (x, y), (right, top) = at(0, 0), at(max(sizes), most)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<style>text { font: 12px sans-serif }</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<path d="M{x:.0f},{top:.0f}V{y:.0f}H{right:.0f}" stroke="#333" fill="none"/>',
        text(x + width / 2, y + 40, f"nombre de {what}"),
        text(x, 12, "secondes"),
    ]
    for share in (0, 1 / 4, 1 / 2, 3 / 4, 1):
        parts.append(text(x - 6, at(0, share * most)[1] + 4, short_number(share * most, 3), "end"))
        parts.append(text(at(share * max(sizes), 0)[0], y + 18, number(share * max(sizes))))
    for rank, (name, colour) in enumerate(zip(GROWING[what], COLOURS, strict=False)):
        points = [at(size, times[name]) for size, times in sizes.items()]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" stroke="{colour}" stroke-width="2" fill="none"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(text(LEFT + 160 * rank, HEIGHT - 12, f"● {LABELS[name]}", "start", colour))
    (PICTURES / WHAT[what]).write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")


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
