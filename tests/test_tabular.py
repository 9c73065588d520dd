"""CSV as French spreadsheets expect it, and nothing that one would run."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.audit.readers import read_csv
from qpv_geo.errors import PublicationError
from qpv_geo.formats.csv import format_cells, neutralised, restored, write_csv
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import conform
from tests.publishing import content_of, declared, frames_of, inputs

LAYER = Layer.model_validate(
    {
        "name": "t",
        "title": "T",
        "abstract": "A.",
        "key": ["code"],
        "fields": {
            kind: {"type": "text" if kind == "code" else kind, "alias": kind}
            for kind in ("code", "text", "integer", "real", "boolean", "date", "datetime")
        },
    }
)


def write(folder: Path, **columns: list[object]) -> Path:
    frame = pd.DataFrame({name: columns.get(name, [None]) for name in LAYER.fields} | {"code": ["a"]})
    write_csv(folder, content_of(conform({"t": frame}, {"t": LAYER}, 2154), {"t": LAYER}))
    return folder / "csv" / "t.csv"


def test_bytes_are_those_of_a_french_spreadsheet(tmp_path: Path) -> None:
    path = write(
        tmp_path / "csv",
        text=['Hauts de Saint-Claude ; dit "le Haut"'],
        integer=[15603],
        real=[55.5],
        boolean=[True],
        date=[date(2024, 1, 1)],
        datetime=[datetime(2026, 1, 15, 20, 43, 23, tzinfo=UTC)],
    )
    assert path.read_bytes() == (
        b"\xef\xbb\xbfcode;text;integer;real;boolean;date;datetime\r\n"
        b'a;"Hauts de Saint-Claude ; dit ""le Haut""";15603;55,5;VRAI;2024-01-01;2026-01-15T20:43:23Z\r\n'
    )


def test_missing_values_are_empty_cells(tmp_path: Path) -> None:
    assert write(tmp_path).read_bytes().endswith(b"\r\na;;;;;;\r\n")


def test_attributes_of_spatial_layers_are_there_without_geometry(tmp_path: Path) -> None:
    write_csv(tmp_path, content_of(frames_of(inputs())))
    rows = list(
        csv.DictReader((tmp_path / "csv" / "qpv.csv").read_text("utf-8-sig").splitlines(), delimiter=";")
    )
    assert [row["population_municipale"] for row in rows] == ["3194", "15603", "1636", "1502", "1211", "2481"]
    assert list(rows[0]) == list(declared()["qpv"].fields)
    assert {path.stem for path in (tmp_path / "csv").iterdir()} == set(frames_of(inputs()))


@pytest.mark.parametrize("text", ["=1+1", "+33", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "'=1", "''@x"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    assert neutralised(text) == f"'{text}"
    assert restored(neutralised(text)) == text


@pytest.mark.parametrize("text", ["Planoise", "l'Amitié", "'Amitié", "02503", "a=b", " =1"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert neutralised(text) == text
    assert restored(text) == text


@given(st.text(st.characters(codec="utf-8")))
def test_whatever_the_text_it_can_be_restored(text: str) -> None:
    assert restored(neutralised(text)) == text
    assert neutralised(text)[:1] not in tuple("=+-@\t\r\n")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_whatever_the_number_its_cell_reads_back_as_the_same(number: float) -> None:
    (cell,) = format_cells(pd.Series([number], dtype="float64"), "real")
    assert float(cell.replace(",", ".")) == number
    assert "e" not in cell.lower()


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@given(st.lists(texts, min_size=1, max_size=5, unique=True))
def test_whatever_the_texts_the_file_reads_back_as_the_same(codes: list[str]) -> None:
    layer = Layer.model_validate(LAYER.model_dump() | {"fields": {"code": LAYER.fields["code"].model_dump()}})
    folder = Path(_FOLDER)
    frames = conform({"t": pd.DataFrame({"code": codes})}, {"t": layer}, 2154)
    write_csv(folder, content_of(frames, {"t": layer}))
    assert read_csv(folder / "csv" / "t.csv", layer).attributes["code"].tolist() == codes


_FOLDER = ""


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _FOLDER  # noqa: PLW0603 - hypothesis runs a test many times in one folder
    _FOLDER = str(tmp_path_factory.mktemp("csv"))


@pytest.mark.parametrize(
    ("kind", "cell"),
    [("integer", "1,5"), ("real", "1.5 €"), ("boolean", "true"), ("date", "01/01/2024"), ("date", "2024")],
)
def test_a_cell_of_another_type_is_found_when_it_is_read_back(tmp_path: Path, kind: str, cell: str) -> None:
    path = write(tmp_path)
    cells = [cell if name == kind else "" for name in LAYER.fields]
    path.write_text(";".join(LAYER.fields) + "\n" + ";".join(cells) + "\n", encoding="utf-8-sig")
    with pytest.raises(PublicationError, match=r"t\.csv, layer t: cannot be read back as declared"):
        read_csv(path, LAYER)


def test_another_header_is_found_when_it_is_read_back(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"integer", b"entier"))
    with pytest.raises(PublicationError, match="its header is"):
        read_csv(path, LAYER)


def test_columns_keep_their_types_when_there_is_nothing_in_them(tmp_path: Path) -> None:
    found = read_csv(write(tmp_path), LAYER).attributes
    assert np.isnan(found["real"].iloc[0])
    assert str(found["date"].dtype) == "datetime64[s]"
