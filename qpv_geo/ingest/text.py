"""Text from bytes, in either encoding of French publishers, and remarks on it for the reader."""

import codecs
from collections.abc import Sequence

from qpv_geo.characters import is_binary
from qpv_geo.checks import Check, check_none
from qpv_geo.errors import SourceContentError
from qpv_geo.french import capitalised
from qpv_geo.sources.file_kinds import kind_of


def decode(data: bytes, label: str) -> tuple[str, str]:
    """Return the text of a file, without byte-order mark, and the name of its encoding.

    UTF-8 is the rule; what is not UTF-8 is Windows-1252, as INSEE's older files are. In Windows-1252 a French
    accented letter is one byte that UTF-8 only allows in pairs, so that one is not taken for the other.
    Raises `SourceContentError` if the file is empty, a web page, or not text in either encoding.
    """
    refuse_page(data, label)
    kind = kind_of(data)
    if kind.name not in {"text", "json"} or is_binary(data):
        found = "binary data" if kind.name in {"text", "json"} else kind.description
        raise SourceContentError(f"{label}: expected text in UTF-8 or Windows-1252, found {found}")
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError as error:
        raise SourceContentError(
            f"{label}: expected text in UTF-8 or Windows-1252, found byte "
            f"{error.object[error.start]:#04x} at position {error.start}, which neither has"
        ) from error


def refuse_page(data: bytes, label: str) -> None:
    """Raise `SourceContentError` if the bytes are empty or a web page: no data file begins with ``<``."""
    kind = kind_of(data).name
    if kind == "empty":
        raise SourceContentError(f"{label}: the file is empty")
    if kind == "markup":
        beginning = data[:1024].removeprefix(codecs.BOM_UTF8).lstrip()[:40].decode("utf-8", "replace")
        raise SourceContentError(
            f"{label}: expected a data file, found a web page or an error document ({beginning!r}…). "
            "The site may be down or the file may have moved: open its address in a browser"
        )


def report_reading(remarks: Sequence[str], found: str, subject: str) -> Check:
    """Return the check on how a file was read: what was in it, and what was unusual."""
    message = sentence(remarks) or "Fichier lu sans remarque."
    return check_none("lecture_du_fichier", subject, remarks, message, counts=("", found))


def sentence(remarks: Sequence[str]) -> str:
    """Join remarks into a French sentence, empty without remarks."""
    text = " ; ".join(remarks)
    return text and f"{capitalised(text)}."
