"""The closing tables of a run: what somebody should look at, and nothing that drowns it."""

from typing import Any

from rich.console import Console
from rich.table import Table

from qpv_geo.commands.all_territories import territory_rows
from qpv_geo.commands.console import summary_tables
from qpv_geo.commands.output import table


def check(code: str, subject: str, outcome: str, expected: str = "", message: str = "") -> dict[str, Any]:
    return {
        "controle": code,
        "objet": subject,
        "attendu": expected,
        "trouve": expected,
        "resultat": outcome,
        "message": message,
    }


def closing(*checks: dict[str, Any], absent: tuple[str, ...] = ()) -> list[Table | str]:
    sources = [{"source": "qpv_2024", "origine": "live", "millesime": "2024"}]
    sources += [{"source": source, "origine": "absente"} for source in absent]
    summary = {
        "sources": sources,
        "checks": list(checks),
        "layers": {"qpv": 6, "quartiers_fragiles": 0},
        "origin": "Données des sites officiels.",
        "release": "2026-01-15-abc",
        "state": "published",
        "refused": None,
        "path": "/out",
        "open": "/out/portraits/index.html",
    }
    return list(summary_tables(summary))


def printed(parts: list[Table | str]) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return capture.get()


def test_what_is_wrong_is_told_with_its_reason_and_what_is_right_is_counted() -> None:
    text = printed(
        closing(
            check("commune_declaree_ou_calculee", "QN02503M", "conforme", "25056"),
            check("nombre_qpv_metropole", "France", "conforme", "1362"),
            check(
                "indicateurs_reconnus",
                "insee_caf",
                "avertissement",
                message="Indicateurs absents : " + "x, " * 99,
            ),
            check("table_de_correspondance", "tout", "non_verifiable", message="Table non lue."),
        )
    )
    assert "commune_declaree_ou_calculee" not in text
    assert "and 1 other checks, all conforme" in text
    for words in ("nombre_qpv_metropole", "Indicateurs absents", "Table non lue."):
        assert words in text
    # The report has the whole of a long list.
    assert 10 < text.count("x,") < 50


def test_absent_sources_are_named_once() -> None:
    absences = [
        check("source_absente", name, "non_verifiable", message=f"{name}.") for name in ("bpe", "iris")
    ]
    parts = closing(*absences, absent=("bpe", "iris"))
    text = printed(parts)
    assert "2 absent sources" in text
    assert (text.count("bpe"), text.count("source_absente")) == (1, 0)
    assert "and 0 other checks, all conforme" in text
    assert "absent sources" not in printed(closing())


def test_a_layer_without_rows_is_said_to_have_none() -> None:
    (line,) = [line for line in printed(closing()).splitlines() if "quartiers_fragiles" in line]
    assert line.split()[-2] == "0"


def test_the_origin_vintage_and_state_are_said_in_english() -> None:
    text = printed(closing())
    for words in ("origin", "vintage", "layer", "Release 2026-01-15-abc (published): /out"):
        assert words in text


def test_one_table_names_the_territories_that_need_a_look_and_counts_the_others() -> None:
    def result(territory: str, state: str, exit_code: int = 0, message: str = "") -> dict[str, Any]:
        return {
            "territory": territory,
            "epci": "242500361",
            "qpv": 2,
            "state": state,
            "exit_code": exit_code,
            "message": message,
        }

    results = [
        result("a", "published"),
        result("d", "failed", 4, "no column codeQPV"),
        result("b", "unchanged"),
        result("c", "published"),
    ]
    text = printed([table("Territories", territory_rows(results))])
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line
    ]
    assert rows == [
        ["failed", "d", "242500361", "2", "no column codeQPV"],
        ["published", "2 territories", "", "4", ""],
        ["unchanged", "1 territories", "", "2", ""],
        ["in all", "4 territories", "", "8", ""],
    ]
