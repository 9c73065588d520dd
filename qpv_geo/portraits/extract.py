"""The figures of one QPV as a CSV file inside its page, for a spreadsheet."""

import csv
import io
from base64 import b64encode

from qpv_geo.formats.base import Content
from qpv_geo.formats.csv import LINE_END, SEPARATOR, format_cells

# Of the dictionary of indicators, then of the statistics.
_INDICATOR = ("theme", "libelle", "unite")
_FIGURE = (
    "millesime",
    "valeur",
    "statut",
    "borne_basse",
    "borne_haute",
    "rang",
    "rang_sur",
    "remarque",
    "source",
    "indicateur",
)


def extracts_of(content: Content) -> dict[str, str]:
    """Return by QPV the address of its figures: all indicators and vintages, written as CSV files are.

    The address holds the file (``data:``): a page that is sent alone still has it.
    """
    statistics, indicators = content.frames["statistiques"], content.frames["indicateurs"]
    own = statistics[statistics["zone"] == "qpv"]
    rows = own.merge(indicators[["indicateur", *_INDICATOR]], on="indicateur", how="left")
    fields = content.layers["indicateurs"].fields | content.layers["statistiques"].fields
    cells = [format_cells(rows[name], fields[name].type) for name in (*_INDICATOR, *_FIGURE)]
    lines: dict[str, list[tuple[str, ...]]] = {code: [] for code in content.frames["qpv"]["code_qp"]}
    for code, line in zip(rows["code"], zip(*cells, strict=True), strict=True):
        lines[code].append(line)
    return {code: _address(sorted(own_lines)) for code, own_lines in lines.items()}


def _address(lines: list[tuple[str, ...]]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=SEPARATOR, lineterminator=LINE_END)
    writer.writerow((*_INDICATOR, *_FIGURE))
    writer.writerows(lines)
    return f"data:text/csv;charset=utf-8;base64,{b64encode(stream.getvalue().encode('utf-8-sig')).decode()}"
