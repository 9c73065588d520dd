"""The health layout of the project: one A3 page per QPV with the care around it and its main figures.

Every figure is the QPV's own. A page chooses, by the code of its QPV, texts that are written already.
"""

from collections.abc import Mapping, Sequence

from qpv_geo.formats.base import Content
from qpv_geo.formats.health import PLACES, TABLE, care_of, compared_figures, health_columns, health_sources
from qpv_geo.qgis.atlas import (
    BOTTOM,
    COLUMN,
    HEADING,
    RIGHT,
    AtlasPages,
    Box,
    Text,
    by_qpv,
    heading,
    scale_around,
)
from qpv_geo.qgis.cartography import Cartography

# On the large map, with the base map below.
_LAYERS = (PLACES, "qpv", "qpv_voisins", "communes", "epci")
# Points, and millimetres of a line of that size.
_POINTS, _LINE = 8.0, 3.95
_TOP = 40.0
# Metres around a QPV that the map shows.
_AROUND = 1050
# Share of the column's width that names have, and the letters that fit.
_NAMES, _LETTERS = 0.64, 45
_DISTANCES = "_distance"
_AS_THE_CROW_FLIES = "Distances à vol d'oiseau. Limites : portraits/sante_methode.html."
_UNREAD = "Offre de soins : la Base permanente des équipements n'a pas été lue."


def health_atlas(content: Content, look: Cartography) -> AtlasPages | None:
    """Lay out the health pages; None for a release without table ``sante``."""
    if TABLE not in content.frames:
        return None
    drawn = {*_LAYERS, *look.groups[-1].layers}
    texts, below = _column(content)
    lines = {column.line for column in health_columns()}
    return AtlasPages(
        title="Portrait santé des QPV (A3)",
        file="sante_",
        scale=scale_around(str(_AROUND)),
        column="Santé : chiffres du quartier",
        texts=tuple(texts),
        mentions=health_sources(content, lines)["mention"],
        legend=(PLACES, "qpv"),
        legend_box=Box(COLUMN.x - 2, below + 2, COLUMN.width, BOTTOM - below - 2, 7),
        legend_points=_POINTS,
        layers=tuple(name for name in look.order if name in drawn),
    )


def _column(content: Content) -> tuple[list[Text], float]:
    """Return the texts of the column, and where they end."""
    texts: list[Text] = []
    y = _TOP
    columns, own = compared_figures(content)
    shown = [rank for rank, column in enumerate(columns) if not column.line.endswith(_DISTANCES)]
    if shown:
        first = next(iter(own.values()))
        vintages = [figure.vintage if (figure := first[rank]) else "" for rank in shown]
        names = [
            f"{columns[rank].title} ({vintage})" if vintage else columns[rank].title
            for rank, vintage in zip(shown, vintages, strict=True)
        ]
        values = {code: [one.text if (one := of[rank]) else "" for rank in shown] for code, of in own.items()}
        texts += _table("Chiffres", y, names, [("Valeurs", 0.3, 1.0, values)])
        y += _LINE * len(names) + HEADING + 3
    care = care_of(content)
    if not care:
        box = Box(COLUMN.x, y - HEADING, COLUMN.width, 6, 10)
        return [*texts, Text("Offre de soins", _UNREAD, box, _POINTS, "soft")], y
    texts.append(heading("Soins", "Soins : à 500 m au plus, et le plus proche", y))
    names = [row.label for row in next(iter(care.values()))]
    counts = {code: [row.around[1] for row in of] for code, of in care.items()}
    nearest = {code: [row.nearest or "non connu" for row in of] for code, of in care.items()}
    texts += _table(
        "Soins", y, names, [("À 500 m", 0.6, 0.76, counts), ("Le plus proche", 0.76, 1.0, nearest)]
    )
    y += _LINE * len(names) + 1
    note = Text("Distances", _AS_THE_CROW_FLIES, Box(COLUMN.x, y, COLUMN.width, 5, 10), _POINTS, "soft")
    return [*texts, note], y + 1


def _table(
    name: str,
    y: float,
    names: Sequence[str],
    columns: Sequence[tuple[str, float, float, Mapping[str, Sequence[str]]]],
) -> list[Text]:
    """Return a text of names, and one for each column between two shares of the width."""
    height = _LINE * len(names) + 1
    # A name that wrapped would move those below away from their values.
    kept = [text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1].rstrip()}…" for text in names]
    box = Box(COLUMN.x, y, _NAMES * COLUMN.width, height, 10)
    texts = [Text(f"{name} : libellés", "\n".join(kept), box, _POINTS)]
    for title, start, end, lines in columns:
        text = by_qpv(lines, title)
        box = Box(COLUMN.x + start * COLUMN.width, y, (end - start) * COLUMN.width, height, 10)
        texts.append(Text(f"{name} : {title.lower()}", text, box, _POINTS, bold=True, horizontal=RIGHT))
    return texts
