"""The official geographic code."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qpv_geo.errors import ContractError, SourceContentError
from qpv_geo.ingest.cog import read_epci_members
from qpv_geo.settings import Settings
from tests.raw_files import raw_file, write_json

EPCI: list[dict[str, Any]] = [
    {
        "code": "242500361",
        "nom": "CU Grand Besançon Métropole",
        "type": "CU",
        "membres": [{"code": "25056", "nom": "Besançon"}, {"code": "25014", "nom": "Amagney"}],
    },
    {
        "code": "200000172",
        "nom": "CC Faucigny - Glières",
        "type": "CC",
        "membres": [{"code": "74042", "nom": "Bonneville"}],
    },
]


def test_members_of_each_epci(tmp_path: Path, settings: Settings) -> None:
    path = write_json(tmp_path / "epci.json", EPCI)
    members = read_epci_members(raw_file("cog_epci", path), settings)
    assert members.to_dict("list") == {
        "siren_epci": ["242500361", "242500361", "200000172"],
        "nom_epci": ["CU Grand Besançon Métropole"] * 2 + ["CC Faucigny - Glières"],
        "type_epci": ["CU", "CU", "CC"],
        "insee_com": ["25056", "25014", "74042"],
        "nom_com": ["Besançon", "Amagney", "Bonneville"],
    }


def test_the_official_code(mirror: Path, settings: Settings) -> None:
    members = read_epci_members(raw_file("cog_epci", mirror / "cog" / "epci.json.gz"), settings)
    besancon = members[members["siren_epci"] == "242500361"]
    assert len(besancon) == 67
    assert set(besancon["type_epci"]) == {"CU"}
    assert members["siren_epci"].nunique() == 1255


def changed(
    change: Callable[[list[dict[str, Any]]], object], entries: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    entries = copy.deepcopy(entries)
    change(entries)
    return entries


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda e: e[1]["membres"].append({"code": "25056", "nom": "Besançon"}),
            "appears once in the file; found '25056' at entry 1 (242500361); '25056' at entry 2",
        ),
        (
            lambda e: e[0].update(code="24250036"),
            "siren_epci: expected SIREN of an EPCI, such as 242500361; found '24250036'",
        ),
        (
            lambda e: e[0]["membres"][0].update(code="1001"),
            "'1001' (leading zeros lost) at entry 1 (242500361)",
        ),
        (
            lambda e: e[0].update(membres="25056"),
            "membres: expected a list of communes with 'code' and 'nom'; found 25056 at entry 1",
        ),
        (lambda e: e[0]["membres"][0].pop("nom"), "membres: expected a list of communes"),
        (lambda e: [entry.pop("membres") for entry in e], "expected column 'membres'"),
    ],
)
def test_members_that_break_the_contract(
    change: Callable[[list[dict[str, Any]]], object], message: str, tmp_path: Path, settings: Settings
) -> None:
    path = write_json(tmp_path / "epci.json", changed(change, EPCI))
    with pytest.raises(ContractError) as error:
        read_epci_members(raw_file("cog_epci", path), settings)
    assert message in str(error.value)
    assert "epci.json" in str(error.value)


@pytest.mark.parametrize(
    "content", [b'[{"code": "01001"', b'{"erreur": 404}', b"[]", b"[1, 2]", b"[" * 100_000, b"9" * 5000]
)
def test_what_is_not_the_code(content: bytes, tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "epci.json"
    path.write_bytes(content)
    with pytest.raises(SourceContentError, match=r"source cog_epci: epci\.json"):
        read_epci_members(raw_file("cog_epci", path), settings)
