"""The published correspondence of QPV 2024 and 2015 against ANCT's file."""

from collections.abc import Mapping

from qpv_geo.audit.mismatches import Mismatch
from qpv_geo.audit.originals import Originals
from qpv_geo.audit.readers import WrittenLayer

_LAYER = "correspondance_2015"
_FIELDS = ("lib_qp", "statut", "lib_qp_2015")
_ABSENT = ("no row",) * len(_FIELDS)
# The predecessors stand side by side in a row of the file.
_PLACES = range(1, 6)

_Pair = tuple[str, str | None]


def compare_correspondence(release: Mapping[str, WrittenLayer], originals: Originals) -> list[Mismatch]:
    """Compare the table with the file, pair by pair; no pair of a QPV of the release may lack."""
    if _LAYER not in release:
        return []
    codes = set(release["qpv"].attributes["code_qp"])
    wanted: dict[_Pair, tuple[str | None, ...]] = {}
    for row in originals.rows(originals.filling("correspondence")):
        if row["QP2024"] in codes:
            wanted |= _pairs(row)
    columns = (release[_LAYER].attributes[name] for name in ("code_qp", "code_qp_2015", *_FIELDS))
    published = {(code, old): tuple(words) for code, old, *words in zip(*columns, strict=True)}
    return [
        Mismatch(release[_LAYER].path.name, _LAYER, " / ".join(part or "aucun" for part in pair), *words)
        for pair in sorted(wanted.keys() | published.keys(), key=str)
        for words in zip(_FIELDS, published.get(pair, _ABSENT), wanted.get(pair, _ABSENT), strict=True)
        if words[1] != words[2]
    ]


def _pairs(row: dict[str, str]) -> dict[_Pair, tuple[str | None, ...]]:
    """Return what a row of the file says of each of its pairs."""
    code, name, status = row["QP2024"], row["Label_QP2024"] or None, row["Statut"] or None
    pairs: dict[_Pair, tuple[str | None, ...]] = {
        (code, old): (name, status, row.get(f"Label_QP2015_{place}") or None)
        for place in _PLACES
        if (old := row.get(f"QP2015_{place}"))
    }
    return pairs or {(code, None): (name, status, None)}
