"""Table ``sante``: every value has its mesh, none is a larger one's, and nothing secret is computed back."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpv_geo.analysis.aggregate import WITHOUT_INTERVAL, add_computed, aggregate
from qpv_geo.analysis.health import health_table
from qpv_geo.analysis.health_plan import load_health_plan, objectives_table
from qpv_geo.errors import ConfigurationError
from qpv_geo.formats.report_schema import Changes, HealthState
from qpv_geo.ingest.registry import load_registry
from qpv_geo.releases.changes import compare_states, health_changes
from qpv_geo.releases.changes_text import changes_markdown
from qpv_geo.territory import Territory, load_territory
from tests.examples import examples
from tests.test_full_territory import Published, publish
from tests.villeneuve import (
    CARRES,
    EAST,
    EPCI,
    FRONTIERE,
    GRANDVILLE,
    IDENTIQUE,
    MIDDLE,
    PETITBOURG,
    QPV,
    REQUIRED,
    WEST,
    WHOLE_PETITBOURG,
    write_territory,
)

REGISTRY = load_registry()
PLAN = load_health_plan()
VALUED = ["ok", "estimation"]
FRANCE = "FR"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish(tmp_path_factory.mktemp("health"))


@pytest.fixture(scope="module")
def table(full: Published) -> pd.DataFrame:
    return full.layer("sante")


@pytest.fixture(scope="module")
def layer(full: Published) -> Callable[[str], pd.DataFrame]:
    return cache(full.layer)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return publish(tmp_path_factory.mktemp("bare"), only=REQUIRED).layer("sante")


# QPV, line, zone, code: value, status. By hand, from what `villeneuve.py` writes.
CELLS: dict[tuple[str, str, str, str], tuple[float | None, str]] = {
    (CARRES, "population_municipale", "qpv", CARRES): (3000, "ok"),
    (CARRES, "taux_pauvrete_60", "qpv", CARRES): (52.5, "ok"),
    (CARRES, "part_sans_diplome", "qpv", CARRES): (44.8, "ok"),
    (CARRES, "taux_emploi", "qpv", CARRES): (38.1, "ok"),
    (CARRES, "part_familles_monoparentales", "qpv", CARRES): (40.5, "ok"),
    (CARRES, "part_moins_25_ans", "qpv", CARRES): (28.2 + 16.1, "ok"),
    (CARRES, "part_60_ans_ou_plus", "qpv", CARRES): (12.4 + 5.5, "ok"),
    (CARRES, "part_menages_1_personne_75_ans_ou_plus", "qpv", CARRES): (14.3, "ok"),
    (CARRES, "part_residences_principales_suroccupees", "qpv", CARRES): (9.1, "ok"),
    (CARRES, "part_logements_sociaux_residences_principales", "qpv", CARRES): (71, "ok"),
    (IDENTIQUE, "taux_pauvrete_60", "qpv", IDENTIQUE): (None, "secret"),
    (FRONTIERE, "part_familles_monoparentales", "qpv", FRONTIERE): (None, "non_significatif"),
    # Two IRIS, 60 and 40 % of the QPV, whole; half alone though the shares are 40 and 55 %.
    (CARRES, "part_80_ans_ou_plus_vivant_seuls", "iris_du_qpv", CARRES): (100 * 150 / 300, "ok"),
    # One of the two IRIS is secret.
    (FRONTIERE, "part_80_ans_ou_plus_vivant_seuls", "iris_du_qpv", FRONTIERE): (None, "secret"),
    (IDENTIQUE, "part_80_ans_ou_plus_vivant_seuls", "iris_du_qpv", IDENTIQUE): (100 * 60 / 150, "ok"),
    (CARRES, "part_hlm", "iris_du_qpv", CARRES): (100 * (500 + 400) / (1000 + 1600), "ok"),
    (FRONTIERE, "part_hlm", "iris_du_qpv", FRONTIERE): (100 * (100 + 20) / (1550 + 400), "ok"),
    (CARRES, "assures_regime_general", "qpv", CARRES): (2800, "ok"),
    (CARRES, "part_c2s_non_participative", "qpv", CARRES): (100 * 1100 / 2800, "ok"),
    (CARRES, "part_c2s_participative", "qpv", CARRES): (100 * 400 / 2800, "ok"),
    (CARRES, "part_moins_18_ans_c2s_non_participative", "qpv", CARRES): (100 * 495 / 1100, "ok"),
    (FRONTIERE, "part_60_ans_ou_plus_c2s_non_participative", "qpv", FRONTIERE): (100 * 15 / 150, "ok"),
    # The total of L'Identique is known, not how many of them are young.
    (IDENTIQUE, "beneficiaires_c2s_non_participative", "qpv", IDENTIQUE): (90, "ok"),
    (IDENTIQUE, "part_moins_18_ans_c2s_non_participative", "qpv", IDENTIQUE): (None, "secret"),
    (FRONTIERE, "part_c2s_non_participative", "commune", PETITBOURG): (100 * 240 / 8000, "ok"),
    (FRONTIERE, "part_c2s_non_participative", "commune", GRANDVILLE): (100 * 1350 / 9000, "ok"),
    (CARRES, "part_c2s_non_participative", "epci", EPCI): (100 * 1590 / 17_000, "ok"),
    (CARRES, "part_c2s_non_participative", "departement", "25"): (100 * 36 / 450, "ok"),
    (CARRES, "part_allocataires_rsa_socle", "qpv", CARRES): (100 * 300 / 900, "ok"),
    (CARRES, "taux_pauvrete_60", "commune", GRANDVILLE): (18, "ok"),
    # The census of incomes of 2023 is not that of the QPV: 21,000 in 2021, 22,500 in 2023.
    (CARRES, "niveau_vie_median", "commune", GRANDVILLE): (21_000, "ok"),
    (CARRES, "taux_pauvrete_60", "france", FRANCE): (14.9, "ok"),
    (FRONTIERE, "apl_medecins_generalistes", "commune", PETITBOURG): (2, "ok"),
    (CARRES, "apl_medecins_generalistes", "commune", GRANDVILLE): (5, "ok"),
    # Weighted by population, of the newest year.
    (CARRES, "apl_medecins_generalistes", "departement", "25"): ((5 * 11 + 2 * 9) / 20, "estimation"),
    (CARRES, "apl_medecins_generalistes", "france", FRANCE): (93_000 / 25_000, "estimation"),
    # Inside, 400 m away and beyond the corner by 499.2 m.
    (CARRES, "pharmacies_500m", "qpv", CARRES): (3, "ok"),
    # From the wall of a building that is 54 m long and 6 askew: |54 * 4 - 6 * 44| / (54² + 6²)^½ = 0.88 m.
    (CARRES, "pharmacies_distance", "qpv", CARRES): (1, "ok"),
    (CARRES, "infirmiers_500m", "qpv", CARRES): (2, "ok"),
    (CARRES, "kinesitherapeutes_distance", "qpv", CARRES): (3104 - 3004, "ok"),
    (CARRES, "dentistes_500m", "qpv", CARRES): (0, "ok"),
    (FRONTIERE, "medecins_generalistes_500m", "qpv", FRONTIERE): (4, "ok"),
    (FRONTIERE, "dentistes_distance", "qpv", FRONTIERE): (10_602 - 10_402, "ok"),
    (IDENTIQUE, "centres_de_sante_500m", "qpv", IDENTIQUE): (1, "ok"),
    (IDENTIQUE, "pmi_500m", "qpv", IDENTIQUE): (0, "ok"),
    (IDENTIQUE, "pmi_distance", "qpv", IDENTIQUE): (7104 - 6604, "ok"),
    (IDENTIQUE, "personnes_agees_distance", "qpv", IDENTIQUE): (6904 - 6604, "ok"),
    (IDENTIQUE, "hopitaux_distance", "qpv", IDENTIQUE): (6704 - 6604, "ok"),
}
# Counts inside, within 300 m, 500 m, 1 km; near the limit on either side; at random in the street; not
# located; and INSEE's own.
CARE: dict[tuple[str, str], tuple[int, ...]] = {
    (FRONTIERE, "medecins_generalistes"): (2, 3, 4, 5, 2, 1, 1, 2, 3),
    (CARRES, "infirmiers"): (1, 2, 2, 3, 1, 1, 2, 0, 1),
    (CARRES, "pharmacies"): (1, 1, 3, 5, 0, 0, 0, 0, 2),
    (IDENTIQUE, "specialistes"): (1, 1, 1, 2, 1, 0, 0, 0, 1),
    (IDENTIQUE, "centres_de_sante"): (0, 1, 1, 1, 0, 1, 0, 0, 0),
    (IDENTIQUE, "maisons_de_sante"): (0, 0, 1, 1, 0, 0, 0, 0, 0),
    (IDENTIQUE, "handicap"): (0, 1, 1, 1, 0, 1, 0, 1, 0),
}


@pytest.mark.parametrize("key", CELLS)
def test_cells_by_hand(table: pd.DataFrame, key: tuple[str, str, str, str]) -> None:
    rows = table.set_index(["code_qp", "ligne", "zone", "code"]).loc[[key]]
    value, status = CELLS[key]
    assert rows["statut"].tolist() == [status]
    (found,) = rows["valeur"]
    assert np.isnan(found) if value is None else found == pytest.approx(value, abs=0.00501)


@pytest.mark.parametrize("key", CARE)
def test_counts_of_care_by_hand(full: Published, key: tuple[str, str]) -> None:
    rows = full.layer("offre_soins").set_index(["code_qp", "categorie"]).loc[[key]]
    columns = [
        *("nombre_qpv", "nombre_300m", "nombre_500m", "nombre_1000m", "dedans_300m_limite"),
        *("dehors_300m_limite", "position_dans_la_rue", "non_localises", "nombre_insee"),
    ]
    assert tuple(rows[columns].iloc[0]) == CARE[key]


def test_every_row_is_filled_where_every_source_was_read(table: pd.DataFrame) -> None:
    of_one = table[table["code_qp"] == CARRES]
    assert set(of_one["ligne"]) == {line.ligne for line in PLAN.lines(REGISTRY)}
    of_one = of_one[~of_one["ligne"].str.startswith("acces_")]
    assert len(of_one) >= 20
    assert set(of_one["statut"]) <= set(VALUED)
    assert of_one["valeur"].notna().all()
    assert (
        of_one[["rubrique", "libelle", "maille", "nom_zone", "millesime", "source", "fichier"]]
        .notna()
        .all(axis=None)
    )
    assert list(dict.fromkeys(table["rubrique"])) == [heading.titre for heading in PLAN.rubriques]
    ranked = of_one[of_one["rang"].notna()]
    assert set(ranked.loc[ranked["zone"] == "qpv", "rang_parmi"]) == {"QPV de métropole"}
    # The interval that the census of 2020 has.
    assert of_one.set_index("ligne").loc["part_sans_diplome", ["borne_basse", "borne_haute"]].tolist() == [
        44,
        45.6,
    ]


def test_a_row_whose_source_was_not_read_stays_and_names_it(bare: pd.DataFrame, table: pd.DataFrame) -> None:
    same = ["code_qp", "ligne", "zone", "code"]
    assert set(map(tuple, bare[same].to_numpy())) == set(map(tuple, table[same].to_numpy()))
    rows = bare[bare["code_qp"] == CARRES].set_index(["ligne", "zone"])
    unread = rows[rows["statut"] == "non_disponible"]
    assert unread["remarque"].notna().all()
    assert unread["millesime"].isna().all()
    remarks = {
        ("part_c2s_non_participative", "qpv"): "assurance maladie",
        ("part_80_ans_ou_plus_vivant_seuls", "iris_du_qpv"): "Contours IRIS",
        ("pharmacies_500m", "qpv"): "Base permanente des équipements",
        ("apl_infirmiers", "commune"): "aux infirmiers",
    }
    for key, part in remarks.items():
        assert part in rows.loc[key, "remarque"]
    assert rows.loc[("taux_pauvrete_60", "qpv"), "valeur"] == 52.5


def test_a_value_of_a_larger_mesh_is_never_the_qpv_s(full: Published, table: pd.DataFrame) -> None:
    own = table["zone"].isin(["qpv", "iris_du_qpv"])
    assert (table.loc[own, "code"] == table.loc[own, "code_qp"]).all()
    assert not table.loc[~own, "code"].isin(QPV).any()
    meshes = table.groupby("zone")["maille"].agg(set).to_dict()
    assert meshes["qpv"] == {"quartier", "quartier et 500 m autour"}
    larger = {zone: mesh for zone, mesh in meshes.items() if zone != "qpv"}
    assert larger == {zone: {PLAN.mailles[zone]} for zone in larger}
    key = ["zone", "code", "indicateur", "millesime"]
    statistics = full.statistics.set_index(key)[["valeur", "statut", "rang", "borne_basse"]]
    found = 0
    for row in table[table["statut"].isin([*VALUED, "secret"])].itertuples():
        if row.ligne not in REGISTRY.by_id or row.zone in {"iris_du_qpv", "france"}:
            continue
        found += 1
        published = statistics.loc[(row.zone, row.code, row.ligne, row.millesime)]
        expected = [published["valeur"], published["statut"], published["rang"], published["borne_basse"]]
        np.testing.assert_equal([row.valeur, row.statut, row.rang, row.borne_basse], expected)
    assert found > 60
    # No value of the QPV is that of its IRIS, of which there is one line of its own.
    assert (
        not table[table["zone"] == "iris_du_qpv"]["ligne"].isin(table[table["zone"] == "qpv"]["ligne"]).any()
    )
    care = full.layer("offre_soins").set_index(["code_qp", "categorie"])
    for row in table[table["ligne"].str.endswith("_500m")].itertuples():
        assert row.valeur == care.loc[(row.code_qp, row.ligne.removesuffix("_500m")), "nombre_500m"]


def test_which_iris_stand_for_a_qpv_is_said(full: Published, table: pd.DataFrame) -> None:
    lines = table[table["zone"] == "iris_du_qpv"].set_index(["code_qp", "ligne"])
    remark = lines.loc[(CARRES, "part_hlm"), "remarque"]
    # Of 26 and 34 km², one is of the QPV.
    assert remark == (
        "IRIS entiers : Milieu, Ouest. Ils contiennent 100 % de la surface du quartier, "
        "qui fait 2 % de la leur."
    )
    guide = (Path(__file__).parents[1] / "docs" / "sante.md").read_text(encoding="utf-8")
    for share, what in ((PLAN.iris.part_qpv, "de la surface"), (PLAN.iris.part_iris, "est dans le quartier")):
        assert f"{share:g} % au moins {what}" in guide
    pieces = full.layer("qpv_iris")
    taken = pieces[(pieces["part_qpv"] >= PLAN.iris.part_qpv) | (pieces["part_iris"] >= PLAN.iris.part_iris)]
    assert taken.groupby("code_qp")["code_iris"].agg(set).to_dict() == {
        CARRES: {WEST, MIDDLE},
        FRONTIERE: {EAST, WHOLE_PETITBOURG},
        IDENTIQUE: {EAST},
    }


def test_each_action_of_the_contract_leads_to_what_follows_it(full: Published) -> None:
    rows = full.layer("objectifs_indicateurs")
    assert rows["objectif"].unique().tolist() == ["Vivre mieux"]
    found = rows[["action", "indicateur", "table_suivie"]].to_numpy().tolist()
    assert found == [
        ["Accès aux droits et à la santé", "part_c2s_non_participative", "sante"],
        ["Accès aux droits et à la santé", "pharmacies_distance", "sante"],
        ["Accès aux droits et à la santé", "apl_infirmiers", "sante"],
        ["Cadre de vie", "part_locataires", "sante"],
        # By IRIS alone.
        ["Cadre de vie", "logements", "statistiques"],
    ]
    assert rows["libelle"].iloc[1].startswith("Pharmacies")


def test_every_objective_of_besancon_is_followed(besancon: Territory) -> None:
    rows = objectives_table(besancon, REGISTRY)
    assert besancon.contrat is not None
    assert rows["objectif"].unique().tolist() == [one.titre for one in besancon.contrat.objectifs]
    health = rows[rows["action"].str.contains("santé")]
    assert {"part_c2s_non_participative", "medecins_generalistes_500m"} <= set(health["indicateur"])
    assert set(health["table_suivie"]) == {"sante"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('= "Cadre de vie"', '= "Cadre"', "'Cadre', no action of 'objectifs'; did you mean 'Cadre de vie'"),
        ('= "Cadre de vie"', '= "Accès aux droits et à la santé"', "an action twice: Accès aux droits"),
        ('"part_locataires"', '"part_locataire"', "neither .*did you mean 'part_locataires'"),
        ('"part_locataires"', '"zzz"', "'zzz', neither an indicator nor a line of table 'sante'"),
    ],
)
def test_an_unknown_action_or_measure_is_a_clear_error(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = write_territory(tmp_path, files=False)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        objectives_table(load_territory(str(path)), REGISTRY)


def state(value: float | None, vintage: str | None, status: str = "ok", interval: float = 0) -> HealthState:
    low, high = (None, None) if not interval or value is None else (value - interval, value + interval)
    return HealthState(valeur=value, statut=status, millesime=vintage, borne_basse=low, borne_haute=high)


@pytest.mark.parametrize(
    ("before", "after", "source", "expected"),
    [
        (state(50, "2021"), state(52, "2021"), "insee_filosofi", (True, "Même millésime")),
        # INSEE advises against consecutive vintages, and asks for six years between two censuses.
        (state(50, "2024"), state(52, "2025"), "insee_cnam", (False, "2 ans d'écart")),
        (state(50, "2023"), state(52, "2025"), "insee_cnam", (True, "Millésimes comparables")),
        (state(50, "2020"), state(52, "2022"), "insee_demographie", (False, "6 ans d'écart")),
        (state(50, "2020"), state(52, "2022"), "insee_cnam, iris_familles", (False, "6 ans d'écart")),
        (state(50, "2016"), state(52, "2022"), "insee_demographie", (True, "Millésimes comparables")),
        # Incomes count otherwise from 2023 on, however many years lie between.
        (state(50, "2019"), state(52, "2023"), "filosofi_communes_2023", (False, "recommence en 2023")),
        (state(50, "2023"), state(52, "2025"), "filosofi_communes_2023", (True, "Millésimes comparables")),
        (state(4.1, "2022"), state(4.0, "2023"), "drees_apl_infirmiers", (True, "Millésimes comparables")),
        (state(50, "2024-2025"), state(52, "2025-2026"), "insee_education", (False, "trop proches")),
        (state(50, None), state(52, "2025"), "unknown", (False, "trop proches")),
        (
            state(None, "2021", "secret"),
            state(52, "2021"),
            "insee_caf",
            (False, "avant : secret statistique"),
        ),
        (state(50, "2021"), state(None, "2021", "secret"), "insee_caf", (False, "maintenant : secret")),
        (state(50, "2016", interval=2), state(53, "2022", interval=2), "insee_demographie", (True, "hasard")),
        (None, state(52, "2021"), "insee_caf", (False, "nouvelle")),
        (state(52, "2021"), None, "insee_caf", (False, "n'existe plus")),
    ],
)
def test_values_are_compared_under_the_producers_rules(
    before: HealthState | None, after: HealthState | None, source: str, expected: tuple[bool, str]
) -> None:
    found, reason = compare_states(before, after, source)
    assert found is expected[0]
    assert expected[1] in reason
    assert ("hasard" in reason) is (expected[1] == "hasard")


def test_what_changed_in_each_line_is_told(table: pd.DataFrame) -> None:
    assert health_changes(table, table) == ()
    later = table.copy()
    own = later["code_qp"] == CARRES
    poverty = own & (later["ligne"] == "taux_pauvrete_60") & (later["zone"] == "qpv")
    later.loc[poverty, ["valeur", "millesime"]] = [51.0, "2022"]
    jobs = own & (later["ligne"] == "taux_emploi")
    later.loc[jobs, ["valeur", "statut"]] = [np.nan, "secret"]
    gone = own & (later["ligne"] == "pharmacies_500m")
    changes = {change.ligne: change for change in health_changes(table, later[~gone])}
    assert set(changes) == {"taux_pauvrete_60", "taux_emploi", "pharmacies_500m"}
    change = changes["taux_pauvrete_60"]
    assert (change.code_qp, change.maille, change.unite) == (CARRES, "quartier", "%")
    assert change.avant is not None
    assert change.apres is not None
    assert (change.avant.valeur, change.avant.millesime) == (52.5, "2021")
    assert (change.apres.valeur, change.apres.millesime, change.comparable) == (51, "2022", False)
    assert changes["taux_emploi"].comparable is False
    assert changes["pharmacies_500m"].apres is None
    whole = Changes(precedente="a", empreinte_precedente="b", sante=tuple(changes.values()))
    assert not whole.none
    assert whole.health_by_qpv == {(CARRES, "Les Carrés"): (3, 0)}
    assert "| QN02591M | Les Carrés | 3 | 0 |" in changes_markdown(whole)
    # Of a whole country nothing is told line by line.
    many = pd.concat([later.assign(code_qp=f"QN{number:05}N") for number in range(201)])
    assert health_changes(many, many.assign(valeur=1.0)) == ()


# Additive measures of IRIS whose sums stand in `sante`, with the ratio that they give.
_NUMERATOR, _DENOMINATOR = "population_80_ans_ou_plus_vivant_seule", "population_80_ans_ou_plus"
_RATIO = "part_80_ans_ou_plus_vivant_seuls"
_IRIS = [f"25056010{number}" for number in range(1, 6)]
count = st.one_of(st.none(), st.integers(0, 200))


def measured(cells: Mapping[tuple[str, str], int | None], zone: str) -> pd.DataFrame:
    """Return rows of ``statistiques`` of some zones; None is a secret."""
    rows = [
        {
            "zone": zone,
            "code": code,
            "indicateur": indicator,
            "millesime": "2022",
            "valeur": np.nan if value is None else float(value),
            "statut": "secret" if value is None else "ok",
            "source": "essai",
            "fichier": "essai.csv",
            "code_producteur": indicator,
            "geographie": None,
            **WITHOUT_INTERVAL,
        }
        for (code, indicator), value in cells.items()
    ]
    return pd.DataFrame(rows)


def derivable(known: list[set[str]], secrets: set[str]) -> set[str]:
    """Return the secret terms that the published sums determine, by elimination over all of them."""
    names = sorted(set().union(*known, secrets))
    sums = np.array([[name in members for name in names] for members in known], dtype=float).reshape(
        -1, len(names)
    )
    found = set()
    for name in secrets:
        target = np.array([[other == name for other in names]], dtype=float)
        with_it = np.linalg.matrix_rank(np.vstack([sums, target]))
        if len(sums) and with_it == np.linalg.matrix_rank(sums):
            found.add(name)
    return found


@given(
    st.fixed_dictionaries({(code, name): count for code in _IRIS for name in (_NUMERATOR, _DENOMINATOR)}),
    st.dictionaries(st.sampled_from(list("ABC")), st.sets(st.sampled_from(_IRIS), min_size=1), min_size=1),
)
def test_no_set_of_sums_and_ratios_determines_a_secret(
    cells: dict[tuple[str, str], int | None], sets: dict[str, set[str]]
) -> None:
    members = {name: sorted(codes) for name, codes in sets.items()}
    rows = add_computed(measured(cells, "iris"), REGISTRY.by_id)
    together = aggregate(rows, members, REGISTRY.by_id, "iris_du_qpv")
    for indicator in (_NUMERATOR, _DENOMINATOR):
        terms = {code for code in _IRIS if cells[code, indicator] is None}
        published = [{code} for code in _IRIS if code not in terms]
        for row in together[together["indicateur"] == indicator].itertuples():
            assert (row.statut == "secret") is bool(terms & sets[str(row.code)])
            if row.statut in VALUED:
                published.append(sets[str(row.code)])
        assert derivable(published, terms) == set()
    # A ratio of which one term is known gives the other.
    for row in pd.concat([rows, together]).query("indicateur == @_RATIO").itertuples():
        codes = sets.get(str(row.code), {str(row.code)})
        hidden = [cells[code, name] is None for code in codes for name in (_NUMERATOR, _DENOMINATOR)]
        assert row.statut not in VALUED or not any(hidden)


def test_a_secret_is_not_computed_back_from_totals(full: Published, table: pd.DataFrame) -> None:
    """INSEE gives the total of L'Identique and not how many are young, nor L'Identique's share of the QPV."""
    statistics = pd.concat([full.statistics, table.rename(columns={"ligne": "indicateur"})])
    additive = {one.id for one in REGISTRY.indicators if one.additive}
    secrets = statistics[(statistics["statut"] == "secret") & statistics["indicateur"].isin(additive)]
    of_qpv = secrets[(secrets["zone"] == "qpv") & (secrets["code"] == IDENTIQUE)]
    assert {"beneficiaires_c2s_non_participative_0_17_ans", "allocataires_aah"} <= set(of_qpv["indicateur"])
    tried = 0
    for (indicator, vintage), rows in secrets.groupby(["indicateur", "millesime"]):
        same = statistics[(statistics["indicateur"] == indicator) & (statistics["millesime"] == vintage)]
        # Every total that holds a secret zone is withheld; those that are published hold none.
        for row in rows.itertuples():
            if row.zone == "qpv":
                total = same[same["zone"] == "qpv_epci"]
                assert set(total["statut"]) == {"secret"}
                tried += 1
        shares = [one.id for one in REGISTRY.indicators if indicator in (one.numerator, one.denominator)]
        ratios = statistics[statistics["indicateur"].isin(shares) & (statistics["millesime"] == vintage)]
        hidden = set(zip(rows["zone"], rows["code"], strict=True))
        for row in ratios.itertuples():
            if (row.zone, row.code) in hidden:
                assert row.statut in {"secret", "non_calculable"}
                tried += 1
    assert tried > 5
    young = table[(table["code_qp"] == IDENTIQUE) & table["ligne"].str.endswith("ans_c2s_non_participative")]
    assert young["valeur"].isna().all()


_OPTIONAL = ("qpv_iris", "offre_soins", "apl", "accessibilite")
_ZONES = ("commune", "epci", "departement", "france", "iris", "qpv")


@examples(15)
@given(st.sets(st.sampled_from(_OPTIONAL)), st.sets(st.sampled_from(_ZONES)))
def test_what_is_missing_is_never_filled_by_another_mesh(
    layer: Callable[[str], pd.DataFrame], dropped: set[str], zones: set[str]
) -> None:
    names = ("qpv", "qpv_commune", "epci", "statistiques", *_OPTIONAL)
    layers = {name: layer(name) for name in names if name not in dropped}
    layers["statistiques"] = layers["statistiques"][~layers["statistiques"]["zone"].isin(zones)]
    found = health_table(layers, REGISTRY).set_index(["code_qp", "ligne", "zone", "code"])
    whole = layer("sante").set_index(["code_qp", "ligne", "zone", "code"])
    assert set(found.index) == set(whole.index)
    both = whole.merge(found, left_index=True, right_index=True, suffixes=("", "_found"))
    of_statistics = both.index.get_level_values("ligne").isin(REGISTRY.by_id)
    zone = both.index.get_level_values("zone")
    gone = of_statistics & zone.where(zone != "iris_du_qpv", "iris").isin(zones)
    gone |= ("qpv_iris" in dropped) & (zone == "iris_du_qpv")
    for prefix, name in (("apl_", "apl"), ("acces_", "accessibilite")):
        gone |= (name in dropped) & both.index.get_level_values("ligne").str.startswith(prefix)
    care = both.index.get_level_values("ligne").str.endswith(("_500m", "_distance"))
    gone |= ("offre_soins" in dropped) & care
    assert set(both.loc[gone, "statut_found"]) <= {"non_disponible"}
    assert both.loc[gone, "valeur_found"].isna().all()
    assert both.loc[gone, "remarque_found"].notna().all()
    # Of larger zones another vintage may be taken where the QPV have none.
    kept = both[~gone & ~(of_statistics & ("qpv" in zones))]
    np.testing.assert_array_equal(kept["valeur"], kept["valeur_found"].astype(float))
    assert (kept["statut"] == kept["statut_found"]).all()
