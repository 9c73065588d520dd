"""The five figures that sum up a QPV, and the sentences made from them: complete, true, in correct French."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.base import Content
from qpv_geo.formats.essentials import (
    Comparison,
    Essential,
    QpvSummary,
    TerritorySummary,
    essential_plans,
)
from qpv_geo.formats.fields import published_layers
from qpv_geo.formats.figures import Figure, Zone
from qpv_geo.formats.frames import Frames
from qpv_geo.formats.summaries import Summaries, qpv_sentences, territory_sentences
from qpv_geo.ingest.distribution import CountedFile, Distribution
from qpv_geo.portraits.charts import strip
from qpv_geo.settings import Settings
from tests.portraying import full_frames, snapshot_frames
from tests.publishing import BESANCON, REGISTRY, spec_of, whole_snapshot

PLANS = {plan.id: plan for plan in essential_plans()}
PLAIN = {0x202F: " ", 0x2212: "-"}
MINUS = "\u2212"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def frames(settings: Settings) -> Frames:
    return snapshot_frames(settings)


@pytest.fixture(scope="module")
def besancon(frames: Frames) -> Summaries:
    return summaries(frames)


def summaries(frames: Frames) -> Summaries:
    spec = spec_of(whole_snapshot(), territory=BESANCON)
    return Summaries(Content(spec, frames, {}, published_layers(REGISTRY)))


def figure(plan: str, value: float = math.nan, status: str = "ok", **others: float) -> Figure:
    status = status if math.isnan(value) else "ok"
    indicator = REGISTRY.by_id[PLANS[plan].indicator]
    return Figure(
        value=value, status=status, vintage="2021", unit=indicator.unit, indicator=indicator, **others
    )  # type: ignore[arg-type]


def essential(
    plan: str, own: Figure, everywhere: Sequence[float] = (), beside: Sequence[Comparison] = ()
) -> Essential:
    """Return a figure ranked among these values, its own among them."""
    if not everywhere:
        return Essential(PLANS[plan], own, tuple(beside))
    levels, counts = np.unique(np.array(everywhere, dtype=float), return_counts=True)
    spread = Distribution(levels, counts, {}, CountedFile("s", "f", "0", shipped=False))
    rank = 1 + sum(value > own.value for value in everywhere)
    ranked = replace(own, rank=float(rank), among=float(len(everywhere)))
    return Essential(PLANS[plan], ranked, tuple(beside), spread)


def beside(own: Figure, kind: str, name: str, value: float) -> Comparison:
    return Comparison(Zone(kind, "0", name), own, replace(own, value=value, status="ok"))


def of_qpv(essentials: Sequence[Essential], genre: str = "epci", qpv: int = 6) -> list[str]:
    return [sentence.translate(PLAIN) for sentence in qpv_sentences(essentials, genre, qpv)]


def test_a_gap_has_the_decimals_of_the_finer_of_both(besancon: Summaries) -> None:
    rate = besancon.qpv["QN02503M"].essentials[2].figure
    for own, other in ((0, 1), (1, 0)):
        comparison = Comparison(
            Zone("commune", "1", "Besançon"), replace(rate, decimals=own), replace(rate, decimals=other)
        )
        assert comparison.decimals == 1
    assert Comparison(Zone("commune", "1", "Besançon"), replace(rate, decimals=0), None).decimals == 0


# ---------------------------------------------------------------- the declared figures


def test_the_five_are_known_rates_and_a_count_and_none_is_of_nationality() -> None:
    indicators = [REGISTRY.by_id[plan.indicator] for plan in essential_plans()]
    assert [indicator.id for indicator in indicators] == [
        "population_municipale",
        "taux_pauvrete_60",
        "part_familles_monoparentales",
        "taux_emploi",
        "part_moins_25_ans",
    ]
    assert {indicator.theme for indicator in indicators}.isdisjoint({"Nationalité"})
    assert all(indicator.qpv_layer for indicator in indicators), "only these are ranked"
    assert all(re.match("l[ae] ", plan.name) for plan in essential_plans())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("name =", "nom ="), "name"),
        (("[pauvrete]", "[pauvreté2]"), "TOML|need"),
        (("[population]", "[habitants]"), "'population'"),
    ],
)
def test_a_file_that_is_not_valid_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    shipped = ROOT / "qpv_geo/formats/essentials.toml"
    path = tmp_path / "essentials.toml"
    path.write_text(shipped.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        essential_plans(path)


# ---------------------------------------------------------------- what a release says


def test_planoise_is_compared_ranked_and_summed_up(besancon: Summaries) -> None:
    planoise = besancon.qpv["QN02503M"]
    people, poverty, families, employment, young = planoise.essentials
    assert [one.figure.short.translate(PLAIN) for one in planoise.essentials] == [
        "15 603", "55 %", "38,4 %", "38,2 %", "44,3 %",
    ]  # fmt: skip
    assert round(people.comparisons[0].share, 1) == 60.9
    assert (poverty.figure.rank, poverty.figure.among, poverty.higher) == (108, 1299, 107)
    town = poverty.comparisons[-1]
    assert (town.zone.name, town.gap, town.text) == ("Besançon", 32, "+32 points")
    assert families.figure.interval.translate(PLAIN) == "[36,9 ; 39,8]"
    epci, everywhere = families.comparisons
    assert {one.zone.kind for one in families.comparisons} == {"ensemble_qpv_epci", "ensemble_qpv"}
    assert (epci.text, epci.within_interval) == ("+0,2 point", True)
    assert (everywhere.text, everywhere.within_interval) == ("+5,6 points", False)
    assert employment.comparisons[1].text == f"{MINUS}8,6 points"
    assert young.figure.interval == "", "a sum of two shares has none"
    assert tuple(sentence.translate(PLAIN) for sentence in planoise.sentences) == (
        (
            "Le quartier compte 15 603 habitants (2020), soit 60,9 % de la population des 6 QPV de "
            "l'intercommunalité ; 55 % des personnes y vivent sous le seuil de pauvreté (2021), 32 points de "
            "plus qu'à Besançon (23 %)."
        ),
        (
            "C'est le taux de pauvreté (55 % en 2021) qui distingue le plus le quartier des autres QPV de "
            "métropole : 107 sur 1 299 en ont un plus élevé."
        ),
    )


def test_the_territory_says_how_many_live_in_its_qpv_and_both_vintages(besancon: Summaries) -> None:
    summary = besancon.territory
    assert (summary.inhabitants, summary.inhabitants_vintage) == (197_061, "2026")
    assert round(summary.share_in_qpv, 1) == 13.0
    assert [sentence.translate(PLAIN) for sentence in summary.sentences] == [
        (
            "25 627 personnes vivent dans les 6 QPV de l'intercommunalité (population municipale 2020), soit "
            "13,0 % de ses 197 061 habitants (population des communes, millésime 2026)."
        ),
        "Le taux de pauvreté y va de 38 % (Battant) à 55 % (Planoise) en 2021, contre 23 % à Besançon.",
    ]
    people, poverty, families, *_ = summary.essentials
    assert people.figure.value == 25_627
    assert poverty.figure.status == "non_calculable", "no sum and no mean of rates stands in for it"
    assert families.figure.value == 38.2


def test_a_figure_without_value_keeps_its_place_and_says_why(frames: Frames) -> None:
    statistics = frames["statistiques"].copy()
    own = (statistics["code"] == "QN02517N") & (statistics["indicateur"] == "taux_pauvrete_60")
    statistics.loc[own, ["valeur", "statut"]] = [np.nan, "secret"]
    statistics.loc[own, ["rang", "rang_sur"]] = pd.NA
    battant = summaries(frames | {"statistiques": statistics}).qpv["QN02517N"]
    assert len(battant.essentials) == 5
    assert battant.essentials[1].figure.short == "secret statistique"
    assert not battant.essentials[1].is_ranked
    assert battant.sentences[0].endswith("le taux de pauvreté n'y est pas publié (secret statistique).")
    assert "pauvreté" not in battant.sentences[1]


def test_what_no_file_gives_is_not_available(frames: Frames) -> None:
    statistics = frames["statistiques"]
    without = statistics[statistics["indicateur"] != "taux_emploi"]
    summary = summaries(frames | {"statistiques": without})
    assert summary.qpv["QN02503M"].essentials[3].figure.short == "non disponible"
    assert summary.territory.essentials[3].figure.short == "non disponible"


def test_ranks_need_no_layer_of_distributions(frames: Frames) -> None:
    without = {name: frame for name, frame in frames.items() if name != "repartition"}
    planoise = summaries(without).qpv["QN02503M"]
    assert not any(one.is_ranked for one in planoise.essentials)
    assert planoise.sentences[1].startswith("Aucun de ces pourcentages ne peut être comparé")


def test_a_town_that_publishes_the_population_holds_a_part_of_it(settings: Settings) -> None:
    planoise = summaries(full_frames(settings)).qpv["QN02503M"]
    town = planoise.essentials[0].comparisons[-1]
    assert town.zone.name == "Besançon"
    assert town.share == 100 * 15_603 / town.other.value  # type: ignore[union-attr]
    assert math.isnan(town.gap)


# ---------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("people", "genre", "qpv", "begins"),
    [
        (
            15_603,
            "epci",
            6,
            "Le quartier compte 15 603 habitants (2021), soit 50,0 % de la population des 6 QPV",
        ),
        (
            1,
            "departement",
            17,
            "Le quartier compte 1 habitant (2021), soit 50,0 % de la population des 17 QPV du",
        ),
        (900, "commune", 1, "Le quartier compte 900 habitants (2021) : c'est le seul QPV de la commune ;"),
    ],
)
def test_the_first_sentence_agrees_in_number(people: int, genre: str, qpv: int, begins: str) -> None:
    own = figure("population", people)
    of = [
        essential("population", own, beside=[beside(own, "qpv_epci", "QPV", 2 * people)]),
        essential("pauvrete", figure("pauvrete", 45)),
    ]
    assert of_qpv(of, genre, qpv)[0].startswith(begins)


@pytest.mark.parametrize(
    ("kind", "name", "value", "ends"),
    [
        ("commune", "Besançon", 23, "22 points de plus qu'à Besançon (23 %)."),
        ("commune", "Le Havre", 44, "1 point de plus qu'au Havre (44 %)."),
        ("commune", "Les Ulis", 47, "2 points de moins qu'aux Ulis (47 %)."),
        ("commune", "Les Ulis", 45, "(2021), comme aux Ulis (45 %)."),
        (
            "ensemble_qpv_epci",
            "",
            50,
            "5 points de moins que dans l'ensemble des QPV de l'intercommunalité (50 %).",
        ),
        ("ensemble_qpv", "", 45, "(2021), comme dans l'ensemble des QPV de métropole (45 %)."),
    ],
)
def test_a_gap_is_said_with_its_preposition(kind: str, name: str, value: float, ends: str) -> None:
    own = figure("pauvrete", 45)
    of = [
        essential("population", figure("population", 900)),
        essential("pauvrete", own, beside=[beside(own, kind, name, value)]),
    ]
    assert of_qpv(of)[0].endswith(ends)


def test_without_anything_to_compare_with_half_of_the_qpv_say_it() -> None:
    of = [
        essential("population", figure("population", status="secret")),
        essential("pauvrete", figure("pauvrete", 45), [30, 40, 45, 60]),
    ]
    assert of_qpv(of)[0] == (
        "La population du quartier n'est pas publiée (secret statistique) ; 45 % des personnes y vivent sous "
        "le seuil de pauvreté (2021) ; dans la moitié des QPV de métropole, ce taux ne dépasse pas 40 %."
    )


@pytest.mark.parametrize(
    ("plan", "own", "others", "ends"),
    [
        ("pauvrete", 60, [40] * 8, "le taux de pauvreté (60 % en 2021) {} : aucun n'en a un plus élevé."),
        (
            "emploi",
            30,
            [40] * 7 + [20],
            "le taux d'emploi (30 % en 2021) {} : un seul sur 9 en a un plus faible.",
        ),
        (
            "jeunes",
            50,
            [40] * 7 + [60] * 2,
            "la part des moins de 25 ans (50 % en 2021) {} : 2 sur 10 en ont une plus élevée.",
        ),
        (
            "familles",
            30,
            [40] * 8,
            "la part des familles monoparentales (30 % en 2021) {} : aucun n'en a une plus faible.",
        ),
    ],
)
def test_what_stands_out_agrees_in_gender_and_number(
    plan: str, own: float, others: list[float], ends: str
) -> None:
    of = [
        essential("population", figure("population", 900)),
        essential("pauvrete", figure("pauvrete", status="secret")),
        essential(plan, figure(plan, own), [own, *others]),
    ]
    said = "qui distingue le plus le quartier des autres QPV de métropole"
    assert of_qpv(of)[1] == f"C'est {ends.format(said)}"


RATES = ["pauvrete", "familles", "emploi", "jeunes"]


@given(st.data())
def test_what_stands_out_is_true(data: st.DataObject) -> None:
    values = st.lists(st.integers(0, 20), min_size=1, max_size=30)
    everywhere = {plan: data.draw(values) for plan in RATES}
    ranked = [essential(plan, figure(plan, all_of[0]), all_of) for plan, all_of in everywhere.items()]
    sentence = of_qpv([essential("population", figure("population", 900)), *ranked])[1]
    beyond = {
        plan: min(sum(v > all_of[0] for v in all_of), sum(v < all_of[0] for v in all_of)) / len(all_of)
        for plan, all_of in everywhere.items()
    }
    if sentence.startswith("Aucun"):
        assert min(beyond.values()) > 1 / 4
        return
    name, value, count, among, degree = re.fullmatch(
        r"C'est (l[ae] .*) \((\d+) % en 2021\) .* : (aucun|un seul|\d+)(?: sur (\d+))? .* plus (\w+)\.",
        sentence,
    ).groups()  # type: ignore[union-attr]
    plan = next(plan for plan in RATES if PLANS[plan].name == name)
    all_of = everywhere[plan]
    assert int(value) == all_of[0]
    further = [v for v in all_of if (v < all_of[0] if degree == "faible" else v > all_of[0])]
    assert len(further) == {"aucun": 0, "un seul": 1}.get(count) if not count.isdigit() else int(count)
    assert among is None or int(among) == len(all_of)
    assert beyond[plan] == min(beyond.values()) <= 1 / 4


def territory(
    people: Figure, poverty: Sequence[tuple[str, float]], inhabitants: int | None
) -> TerritorySummary:
    """Return the summary of QPV with these names and poverty rates."""
    figures = [(name, figure("pauvrete", value)) for name, value in poverty]
    qpv = tuple(
        QpvSummary(Zone("qpv", name, name), (essential("pauvrete", own),), ("", "")) for name, own in figures
    )
    of = (essential("population", people), essential("pauvrete", figure("pauvrete", status="non_calculable")))
    return TerritorySummary(of, inhabitants, "2026", qpv)


@pytest.mark.parametrize(
    ("people", "poverty", "inhabitants", "first", "second"),
    [
        (
            figure("population", 1000),
            [("A", 40), ("B", 50), ("C", 50)],
            4000,
            (
                "1 000 personnes vivent dans les 3 QPV de l'intercommunalité (population municipale 2021), "
                "soit 25,0 % de ses 4 000 habitants (population des communes, millésime 2026)."
            ),
            "Le taux de pauvreté y va de 40 % (A) à 50 % (B et C) en 2021.",
        ),
        (
            figure("population", 1),
            [("A", 40)],
            None,
            "1 personne vit dans le seul QPV de l'intercommunalité (population municipale 2021).",
            "Le taux de pauvreté y est de 40 % (A) en 2021.",
        ),
        (
            figure("population", status="secret"),
            [("A", math.nan), ("B", math.nan)],
            4000,
            (
                "La population qui vit dans les 2 QPV de l'intercommunalité n'est pas publiée (secret "
                "statistique)."
            ),
            "Le taux de pauvreté n'est publié pour aucun de ces quartiers.",
        ),
        (
            figure("population", 2),
            [(name, 40) for name in "ABCDE"],
            None,
            "2 personnes vivent dans les 5 QPV de l'intercommunalité (population municipale 2021).",
            "Le taux de pauvreté y est de 40 % (A, B et 3 autres) en 2021.",
        ),
    ],
)
def test_a_territory_is_summed_up(
    people: Figure, poverty: Sequence[tuple[str, float]], inhabitants: int | None, first: str, second: str
) -> None:
    said = territory_sentences(territory(people, poverty, inhabitants), "epci")
    assert [sentence.translate(PLAIN) for sentence in said] == [first, second]


# ---------------------------------------------------------------- strips


def places(svg: str, kind: str) -> list[float]:
    """Return where marks of a class stand on a strip, from the left."""
    return [float(x) for x in re.findall(f'class="{kind}" d="M([0-9.]+)', svg)]


def test_a_strip_marks_the_qpv_its_interval_the_median_and_the_town_to_scale() -> None:
    own = figure("pauvrete", 50, low=40, high=60)
    of = essential("pauvrete", own, [30, 40, 50, 70], [beside(own, "commune", "Besançon", 20)])
    svg = str(strip(of, "Planoise"))
    (town,), (median,), (here,) = (places(svg, kind) for kind in ("ville", "mediane", "ici"))
    unit = (here - town) / 30
    assert median - town == pytest.approx(20 * unit, abs=0.2)
    low, high = re.search(r'class="marge" d="M([0-9.]+) .*H([0-9.]+)m', svg).groups()  # type: ignore[union-attr]
    assert (float(low) - town, float(high) - town) == pytest.approx((20 * unit, 40 * unit), abs=0.2)
    words = re.search('aria-label="(.*?)"', svg)[1].translate(PLAIN)  # type: ignore[index]
    assert words == (
        "Taux de pauvreté : Planoise 50 % [40 ; 60] ; 4 QPV de métropole de 30 % à 70 %, dont la moitié à "
        "40 % ou moins ; Besançon 20 %"
    )


@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=60), st.sampled_from(["population", "emploi"]))
def test_every_strip_stays_inside_its_drawing_and_its_columns_count_all_qpv(
    values: list[int], plan: str
) -> None:
    values = values if plan == "population" else [value % 101 for value in values]
    svg = str(strip(essential(plan, figure(plan, values[0]), values), "A"))
    xs = [float(x) for x in re.findall(r"[MH]([0-9.]+)", svg)]
    assert all(0 <= x <= 320 for x in xs), xs
    (here,), (median,) = places(svg, "ici"), places(svg, "mediane")
    middle = sorted(values)[-(-len(values) // 2) - 1]
    # Two values that are nearly the same may stand at the same tenth of a pixel.
    assert here <= median if values[0] <= middle else here >= median
    columns = re.search('class="tous" d="(.*?)"', svg)[1]  # type: ignore[index]
    assert 1 <= columns.count("M") <= len(set(values))


def test_nothing_is_drawn_of_a_figure_without_value() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        strip(essential("pauvrete", figure("pauvrete", status="secret")), "A")


def test_a_qpv_in_two_towns_is_compared_with_neither_in_its_sentences_and_strips() -> None:
    own = figure("pauvrete", 31)
    two = [
        beside(own, "commune", "Grandville", 18),
        Comparison(Zone("commune", "1", "Petitbourg"), own, None),
    ]
    of = [
        essential("population", figure("population", 800)),
        essential("pauvrete", own, [31, 52], [beside(own, "ensemble_qpv", "", 44), *two]),
    ]
    assert of_qpv(of)[0].endswith("13 points de moins que dans l'ensemble des QPV de métropole (44 %).")
    assert "Grandville" not in strip(of[1], "La Frontière")
