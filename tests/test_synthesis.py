"""The synthesis of the index: QPV side by side in five figures, dwellings, what changed since 2015."""

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from qpv_geo.formats.base import Content
from qpv_geo.formats.fields import published_layers
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.summaries import Summaries
from qpv_geo.portraits.evolution import changes_since_2015
from qpv_geo.portraits.index_page import synthesis_of
from qpv_geo.settings import Settings
from tests.portraying import full_frames, snapshot_frames
from tests.publishing import BESANCON, REGISTRY, spec_of, whole_snapshot

PLAIN = {0x202F: " "}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def frames(settings: Settings) -> Frames:
    return snapshot_frames(settings)


def of(frames: Frames) -> dict[str, Any]:
    content = Content(spec_of(whole_snapshot(), territory=BESANCON), frames, {}, published_layers(REGISTRY))
    return synthesis_of(content, Summaries(content))


def words(synthesis: dict[str, Any], name: str) -> list[str]:
    """Return what the cells of a row say, a dash where nobody publishes a figure."""
    row = next(row for row in (*synthesis["rows"], *synthesis["sets"]) if row["name"] == name)
    return [figure.short.translate(PLAIN) if figure else "-" for figure, _ in row["cells"]]


def test_the_six_stand_side_by_side_with_what_they_are_compared_with(frames: Frames) -> None:
    synthesis = of(frames)
    assert [row["name"] for row in synthesis["rows"]] == [
        "Battant", "Clairs Soleil", "Hauts de Saint-Claude", "Montrapon", "Orchamps-Palente", "Planoise",
    ]  # fmt: skip
    assert words(synthesis, "Montrapon") == ["1 636", "45 %", "47,0 %", "37,9 %", "49,6 %"]
    assert words(synthesis, "Les 6 QPV ensemble") == [
        "25 627",
        "non calculable",
        "38,2 %",
        "40,5 %",
        "42,3 %",
    ]
    assert words(synthesis, "Ensemble des QPV") == ["-", "-", "32,8 %", "46,8 %", "38,8 %"]
    assert words(synthesis, "Besançon") == ["-", "23 %", "-", "-", "-"]
    assert [status.words for status in synthesis["statuses"]] == ["non calculable"]


def test_gauges_have_one_scale_for_a_column_and_the_town_as_a_line(frames: Frames) -> None:
    rows = {row["name"]: row["cells"] for row in of(frames)["rows"]}
    widths = {
        name: float(re.search('width="([0-9.]+)"', str(cells[1][1]))[1])  # type: ignore[index]
        for name, cells in rows.items()
    }
    assert widths == pytest.approx({name: cells[1][0].value / 0.55 for name, cells in rows.items()}, abs=0.1)
    towns = {re.search('class="ville" d="M([0-9.]+)', str(cells[1][1]))[1] for cells in rows.values()}  # type: ignore[index]
    assert towns == {"41.8"}, "23 of 55"
    assert all("moustache" in str(cells[2][1]) for cells in rows.values())


def test_a_qpv_without_value_has_no_gauge_and_is_sorted_last(frames: Frames) -> None:
    statistics = frames["statistiques"].copy()
    own = (statistics["code"] == "QN02517N") & (statistics["indicateur"] == "taux_pauvrete_60")
    statistics.loc[own, ["valeur", "statut"]] = [np.nan, "secret"]
    synthesis = of(frames | {"statistiques": statistics})
    figure, gauge = next(row["cells"] for row in synthesis["rows"] if row["name"] == "Battant")[1]
    assert (figure.sort_key, gauge) == ("", None)
    assert words(synthesis, "Battant")[1] == "secret statistique"


def test_dwellings_are_added_where_all_are_known(frames: Frames) -> None:
    assert not any(fact.startswith("Logement") for fact in of(frames)["facts"])
    statistics = frames["statistiques"]
    people = statistics[statistics["indicateur"] == "population_municipale"]
    dwellings = people.assign(indicateur="logements_sociaux", millesime="2025")
    known = of(frames | {"statistiques": pd.concat([statistics, dwellings], ignore_index=True)})
    assert known["facts"][0].translate(PLAIN) == (
        "Logement : 25 627 logements du parc locatif social dans les 6 QPV (2025)."
    )


# ---------------------------------------------------------------- since 2015


def qpv(codes: dict[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame({"code_qp": list(codes), "lib_qp": list(codes.values())})


@pytest.mark.parametrize(
    ("codes", "sentences"),
    [
        (
            {"QN02517N": "Battant", "QN02515N": "Hauts", "QN02503M": "Planoise"},
            [
                "2 quartiers sont entrés en 2024 : Battant et Hauts.",
                "Un quartier était déjà prioritaire en 2015, son contour a changé : Planoise.",
            ],
        ),
        (
            {"QN02517N": None, "QN02501I": "A", "QN02502I": "B"},
            [
                "Un quartier est entré en 2024 : QN02517N.",
                "2 quartiers étaient déjà prioritaires en 2015, au même contour : A et B.",
            ],
        ),
        ({"QN97651C": "Village"}, []),
    ],
)
def test_letters_of_codes_say_what_became_of_each(codes: dict[str, str | None], sentences: list[str]) -> None:
    assert list(changes_since_2015({"qpv": qpv(codes)})) == sentences


def test_contours_of_2015_say_which_left_and_how_much_stayed() -> None:
    pieces = pd.DataFrame(
        [
            ("conserve", "QP1", "Planoise", 60.0),
            ("sortant", "QP1", "Planoise", 20.0),
            ("sortant", "QP2", "Grette", 15.0),
            ("sortant", "QP2", "Grette", 5.0),
            ("entrant", None, None, 400.0),
        ],
        columns=["nature", "code_qp_2015", "nom_qp_2015", "surface_m2"],
    )
    frames = {"qpv": qpv({"QN97651C": "Village"}), "evolution_2015_2024": pieces}
    assert [sentence.translate(PLAIN) for sentence in changes_since_2015(frames)] == [
        "Un quartier de 2015 n'est plus dans la géographie prioritaire : Grette.",
        "60,0 % de la surface des QPV de 2015 est encore en QPV.",
    ]


def test_the_full_territory_keeps_its_six(settings: Settings) -> None:
    facts = [fact.translate(PLAIN) for fact in of(full_frames(settings))["facts"]]
    assert any(
        re.fullmatch(r"\d+,\d % de la surface des QPV de 2015 est encore en QPV\.", fact) for fact in facts
    )
