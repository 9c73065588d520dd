"""How the text of a Shapefile's ``.dbf`` is encoded, which its ``.cpg`` may say wrongly or not at all."""

from qpv_geo.ingest.contracts import Problems

_UTF_8 = {"UTF8", "65001"}


def encoding_of(dbf: bytes) -> str:
    """Tell the encoding of a ``.dbf`` from its records, which follow a header of stated length.

    It is ``ASCII`` where nothing tells one encoding from another.
    """
    records = dbf[int.from_bytes(dbf[8:10], "little") :]
    if records.isascii():
        return "ASCII"
    try:
        records.decode()
    except UnicodeDecodeError:
        return "CP1252"
    return "UTF-8"


def check_encoding(dbf: bytes, cpg: bytes, problems: Problems) -> None:
    """Add a problem if the ``.cpg`` contradicts the text: one of them is UTF-8 and the other is not."""
    declared = cpg.decode("ascii", "replace").strip()
    found = encoding_of(dbf)
    is_utf_8 = declared.upper().replace("-", "") in _UTF_8
    if found == "ASCII" or not declared or is_utf_8 == (found == "UTF-8"):
        return
    actual = "UTF-8" if found == "UTF-8" else "not UTF-8, perhaps Windows-1252"
    problems.add("the encoding of the text", f"{declared}; the text is {actual}", column=".cpg")
    if problems.source.territory_key:
        right = "UTF-8" if found == "UTF-8" else "1252"
        problems.advise(f"write {right} into the .cpg file, a text of one line, or delete it")
