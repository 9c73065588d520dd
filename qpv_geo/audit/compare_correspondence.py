"""The published correspondence of QPV 2024 and 2015 against ANCT's file."""

from collections.abc import Collection

from qpv_geo.audit.differences import Difference
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import Reading

LAYER = "correspondance_2015"
_FIELDS = ("lib_qp", "statut", "lib_qp_2015")
_ABSENT = ("no row",) * len(_FIELDS)
# Side by side in a row of the file.
_PLACES = range(1, 6)

_Pair = tuple[str, str | None]


def compare_correspondence(reading: Reading, originals: Originals, qpv: Collection[str]) -> list[Difference]:
    """Compare the table with the file, pair by pair; no pair of a QPV of the release may lack.

    Parameters
    ----------
    reading
        The table as a file of the release holds it.
    originals
        The raw files.
    qpv
        ``code_qp`` of the release.
    """
    wanted: dict[_Pair, tuple[str | None, ...]] = {}
    for row in originals.rows(originals.filling("correspondence")):
        if row["QP2024"] in qpv:
            wanted |= _pairs(row)
    columns = (reading.attributes[name] for name in ("code_qp", "code_qp_2015", *_FIELDS))
    published = {(code, old): tuple(words) for code, old, *words in zip(*columns, strict=True)}
    return [
        Difference(
            reading.path.name, LAYER, " / ".join(part or "aucun" for part in pair), field, found, original
        )
        for pair in sorted(wanted.keys() | published.keys(), key=str)
        for field, found, original in zip(
            _FIELDS, published.get(pair, _ABSENT), wanted.get(pair, _ABSENT), strict=True
        )
        if found != original
    ]


def _pairs(row: dict[str, str]) -> dict[_Pair, tuple[str | None, ...]]:
    """Return what a row of the file says of each of its pairs."""
    code, name, status = row["QP2024"], row["Label_QP2024"] or None, row["Statut"] or None
    found: dict[_Pair, tuple[str | None, ...]] = {
        (code, old): (name, status, row.get(f"Label_QP2015_{place}") or None)
        for place in _PLACES
        if (old := row.get(f"QP2015_{place}"))
    }
    return found or {(code, None): (name, status, None)}
