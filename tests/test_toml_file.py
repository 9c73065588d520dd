"""Territory files as people save them on Windows: read, or refused with what to do."""

import codecs
from pathlib import Path

import pytest

from qpv_geo.errors import ConfigurationError
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import snapshot_epci
from qpv_geo.territory import load_territory, territory_names
from qpv_geo.toml_file import read_toml

MINIMAL = """id = "ville"
nom = "Ville"
epci = "242500361"
departement = "25"
region = "27"
expected = { qpv = 6 }
"""
FILE = '[quartiers_fichier]\nmise_a_jour = 2025-01-31\nchemin = "quartiers.gpkg"\n'


def refused(folder: Path, text: str) -> str:
    path = folder / "ville.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as error:
        load_territory(str(path))
    assert error.value.exit_code == 2
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", territory_names())
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_and_line_ends_change_nothing(name: str, line_end: bytes, tmp_path: Path) -> None:
    shipped = Path("qpv_geo/territories") / f"{name}.toml"
    path = tmp_path / "ville.toml"
    path.write_bytes(codecs.BOM_UTF8 + shipped.read_bytes().replace(b"\n", line_end))
    assert load_territory(str(path)).model_dump() == load_territory(name).model_dump()


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ville.toml"
    for encoding in ("cp1252", "utf-16"):
        path.write_text(MINIMAL.replace("Ville", "Besançon"), encoding=encoding)
        with pytest.raises(ConfigurationError, match=r"not text in UTF-8 .*save it again in UTF-8"):
            read_toml(path)


@pytest.mark.parametrize(
    "chemin",
    [
        r"C:\data\quartiers.gpkg",
        r"C:\Users\sig\quartiers.gpkg",
        r"\\serveur\sig\quartiers.gpkg",
        r"C:\temp\quartiers.gpkg",
        r"C:\new\files.gpkg",
        "C:\\sig\\",
    ],
)
def test_a_windows_path_between_double_quotes_gets_a_hint(chemin: str, tmp_path: Path) -> None:
    message = refused(tmp_path, MINIMAL + FILE.replace("quartiers.gpkg", chemin))
    assert r"between single quotes, 'C:\data\x.gpkg', or with forward slashes" in message
    assert "at line 9" in message or "'quartiers_fichier.chemin'" in message


@pytest.mark.parametrize("chemin", [r"'C:\data\x.gpkg'", '"C:/data/x.gpkg"', r'"C:\\data\\x.gpkg"'])
def test_a_windows_path_written_as_toml_wants_is_one(chemin: str, tmp_path: Path) -> None:
    path = tmp_path / "ville.toml"
    path.write_text(MINIMAL + FILE.replace('"quartiers.gpkg"', chemin), encoding="utf-8")
    file = load_territory(str(path)).quartiers_fichier
    assert file
    assert file.chemin.replace("\\", "/") == "C:/data/x.gpkg"


def test_another_fault_gets_no_hint_about_paths(tmp_path: Path) -> None:
    message = refused(tmp_path, MINIMAL + "qpv = [\n")
    assert "not valid TOML" in message
    assert "backslash" not in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (MINIMAL.replace('"Ville"', r'"Vi\u0007lle"'), "nom"),
        (MINIMAL + '[[quartiers]]\nnom = "Cen\\u0000tre"\niris = ["250560101"]\n', "quartiers.0.nom"),
        (MINIMAL + '[contact]\norganisation = "Vi\\uFFFElle"\n', "contact.organisation"),
        (MINIMAL.replace("expected", 'sources_ignorees = ["a\\u0001"]\nexpected'), "sources_ignorees"),
    ],
)
def test_text_that_cannot_be_published_is_named_by_its_key(text: str, key: str, tmp_path: Path) -> None:
    message = refused(tmp_path, text)
    assert f"'{key}': " in message
    assert "the control character U+" in message


def test_the_snapshot_says_its_territory_with_a_byte_order_mark_or_not(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    path = tmp_path / "raw" / "snapshot" / "territoire.toml"
    path.parent.mkdir(parents=True)
    assert snapshot_epci(settings) is None
    path.write_bytes(codecs.BOM_UTF8 + b'epci = "242500361"\n')
    assert snapshot_epci(settings) == "242500361"
    path.write_text("commune = 1\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"territoire\.toml: expected the 'epci'"):
        snapshot_epci(settings)
