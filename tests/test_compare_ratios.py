"""Ratios of single zones are divided again from the raw cells of their terms; whatever is wrong is found."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from publishing import conformed
from raw_files import raw_file, write_csv, write_zip

from qpv_geo.analysis.ratios import add_ratios
from qpv_geo.analysis.statistics import rules_of
from qpv_geo.ingest.registry import load_registry
from qpv_geo.ingest.statistics import read_statistics
from qpv_geo.publish.compare_figures import compare_statistics
from qpv_geo.publish.originals import Originals
from qpv_geo.publish.readers import Reading
from qpv_geo.settings import Settings

REGISTRY = load_registry()
CODES = ["QN02502M", "QN02503M", "QN02504M", "QN02505M"]
RATIO = "part_allocataires_rsa_socle"
CELLS = [["900", "300"], ["5134", "1402"], ["90", "s"], ["0", "0"]]

Compared = tuple[pd.DataFrame, Originals]


@pytest.fixture
def compared(tmp_path: Path, settings: Settings) -> Compared:
    """Return the statistics of a file of the CAF with their ratios, and that file."""
    rows = [["CODGEO", "A", "ARSAS"], *([code, *cells] for code, cells in zip(CODES, CELLS, strict=True))]
    table = write_csv(tmp_path / "caf.csv", rows).read_bytes()
    raw = raw_file("insee_caf", write_zip(tmp_path / "caf.zip", {"caf_QP.csv": table}))
    statistics = add_ratios(read_statistics(raw, REGISTRY, settings).rows, rules_of(REGISTRY))
    return statistics, Originals({"insee_caf": raw}, set(CODES), settings)


def differences(statistics: pd.DataFrame, originals: Originals) -> list[str]:
    frame = conformed({"statistiques": statistics.reset_index(drop=True)})["statistiques"]
    qpv = Reading(Path("qpv.csv"), pd.DataFrame({"code_qp": CODES}))
    readings = {"statistiques": Reading(Path("statistiques.csv"), frame), "qpv": qpv}
    return [str(difference) for difference in compare_statistics(readings, originals, REGISTRY)]


def ratio_of(statistics: pd.DataFrame, code: str) -> pd.Series:
    return (statistics["indicateur"] == RATIO) & (statistics["code"] == code)


def test_what_is_computed_is_what_the_raw_cells_say(compared: Compared) -> None:
    statistics, originals = compared
    rows = statistics[statistics["indicateur"] == RATIO].set_index("code")
    assert rows["statut"].to_dict() == dict(zip(CODES, ["ok", "ok", "secret", "non_disponible"], strict=True))
    assert rows.loc["QN02503M", "valeur"] == 100 * 1402 / 5134
    assert differences(statistics, originals) == []


Change = Callable[[pd.DataFrame], pd.DataFrame]


def setting(code: str, **fields: object) -> Change:
    def change(statistics: pd.DataFrame) -> pd.DataFrame:
        for field, value in fields.items():
            statistics.loc[ratio_of(statistics, code), field] = value
        return statistics

    return change


def without(code: str) -> Change:
    return lambda statistics: statistics[~ratio_of(statistics, code)]


def beside_no_terms(statistics: pd.DataFrame) -> pd.DataFrame:
    row = statistics[ratio_of(statistics, "QN02502M")].assign(millesime="2019")
    return pd.concat([statistics, row])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            setting("QN02503M", valeur=27.3),
            "field valeur: published 27.3, raw 27.308141799766265 (source insee",
        ),
        (setting("QN02504M", valeur=0.0), "field valeur: published 0.0, raw nan"),
        (setting("QN02504M", statut="non_disponible"), "field statut: published 'non_disponible', raw 'sec"),
        (setting("QN02505M", statut="ok", valeur=0.0), "field valeur: published 0.0, raw nan"),
        (setting("QN02502M", fichier="autre.csv"), "field fichier: published 'autre.csv', raw 'caf_QP.csv'"),
        (setting("QN02502M", code_producteur="A / ARSAS"), "published 'A / ARSAS', raw 'ARSAS / A'"),
        (setting("QN02502M", code_producteur="ARSAS", valeur=30.0), f"{RATIO} / 2024, field valeur"),
        (without("QN02502M"), "field valeur: published 'no row', expected 33.3"),
        (beside_no_terms, f"{RATIO} / 2019, field valeur: published 33.3"),
    ],
)
def test_what_is_wrong_is_found(compared: Compared, change: Change, problem: str) -> None:
    statistics, originals = compared
    found = differences(change(statistics), originals)
    assert any(problem in difference for difference in found), found


def test_a_wrong_term_is_found_in_both(compared: Compared) -> None:
    """Were the ratio only compared with the published terms, this would pass for one of them."""
    statistics, originals = compared
    term = (statistics["indicateur"] == "allocataires") & (statistics["code"] == "QN02502M")
    statistics.loc[term, "valeur"] = 600.0
    statistics.loc[ratio_of(statistics, "QN02502M"), "valeur"] = 50.0
    found = differences(statistics, originals)
    assert len(found) == 2
    assert math.isclose(100 * 300 / 900, float(found[0].split("raw ")[1].split(" (")[0]))
