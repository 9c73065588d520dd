"""Text that XML cannot hold is told from text that it can, cell by cell."""

from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.characters import forbidden_character
from qpv_geo.errors import ContractError
from qpv_geo.ingest.cell_text import check_characters, check_labels
from qpv_geo.ingest.contracts import Names, Problems
from qpv_geo.sources.catalogue import load_catalogue

HOSTILE = ["\x00", "\x07", "\x1f", "\ufffe", "\uffff", "\ud800", "\udfff"]


def problems() -> Problems:
    return Problems("pop_QPV24.csv", load_catalogue()["insee_population"])


def rows(count: int) -> Names:
    return np.array([f"line {n}" for n in range(2, count + 2)], dtype=object)


@given(st.text(st.characters(exclude_categories=()) | st.sampled_from(HOSTILE)))
def test_what_is_let_through_is_what_an_xml_parser_reads(text: str) -> None:
    document = f"<a>{escape(text)}</a>".encode("utf-8", "surrogatepass")
    if forbidden_character(text):
        with pytest.raises((ET.ParseError, ValueError)):
            ET.fromstring(document)  # noqa: S314 - written one line above
    else:
        ET.fromstring(document)  # noqa: S314 - written three lines above


@pytest.mark.parametrize("character", HOSTILE)
def test_a_cell_that_cannot_be_published_is_named(character: str) -> None:
    found = problems()
    check_characters(["Planoise", f"Bat{character}tant", "", None, 3], rows(5), found, "lib_qp")
    with pytest.raises(ContractError) as error:
        found.raise_if_any()
    message = str(error.value)
    assert "pop_QPV24.csv" in message
    assert f"(U+{ord(character):04X}) at line 3" in message
    assert "lib_qp: expected text without control characters" in message
    assert not forbidden_character(message)


def test_text_of_every_day_passes() -> None:
    found = problems()
    check_characters(pd.Series(["Cité de l'Amitié", "a\tb\r\nc", "🏙", "1\u202f075", None]), rows(5), found)
    check_labels(pd.Series(["Planoise", None, "12"]), rows(3), found, "lib_qp")
    assert not found


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (12, "a number"),
        (np.int64(12), "a number"),
        (0.5, "a number"),
        (True, "a boolean"),
        ({"fr": "Planoise"}, "an object"),
        (["Planoise"], "a list"),
        (pd.Timestamp("2024-01-01"), "not text"),
    ],
)
def test_a_label_that_is_not_text_is_named(value: object, kind: str) -> None:
    found = problems()
    check_labels(["Planoise", None, float("nan"), value], rows(4), found, "lib_qp")
    with pytest.raises(ContractError, match=f"lib_qp: expected text; found .*{kind} at line 5"):
        found.raise_if_any()
