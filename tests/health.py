"""Tables of the health approach, made up in their declared form: there to be laid out, never to be published.

Values of a larger mesh than the QPV are recognisable: no value of a QPV has their fractions.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

CATEGORIES = {
    "medecins_generalistes": "Médecins généralistes",
    "infirmiers": "Infirmiers",
    "kinesitherapeutes": "Masseurs-kinésithérapeutes",
    "dentistes": "Chirurgiens-dentistes",
    "sages_femmes": "Sages-femmes",
    "specialistes": "Médecins spécialistes",
    "pharmacies": "Pharmacies",
    "centres_de_sante": "Centres de santé",
    "maisons_de_sante": "Maisons de santé pluriprofessionnelles",
    "laboratoires": "Laboratoires d'analyses",
    "hopitaux": "Hôpitaux et cliniques",
    "personnes_agees": "Établissements et services pour personnes âgées",
    "handicap": "Établissements et services pour personnes handicapées",
    "pmi": "Protection maternelle et infantile",
}
PROFESSIONS = tuple(CATEGORIES)[:5]
_DETERMINANTS = (
    ("population_municipale", "Population municipale", "2020", "habitants"),
    (
        "taux_pauvrete_60",
        "Taux de pauvreté au seuil de 60 % du niveau de vie médian métropolitain",
        "2021",
        "%",
    ),
    ("niveau_vie_median", "Niveau de vie médian (revenu disponible par unité de consommation)", "2021", "€"),
    ("part_sans_diplome", "Part des sans diplôme parmi les 15 ans ou plus non scolarisés", "2020", "%"),
    ("taux_emploi", "Taux d'emploi des 15 à 64 ans", "2020", "%"),
    ("taux_chomage_recensement", "Part des chômeurs parmi les actifs de 15 à 64 ans", "2020", "%"),
    ("part_emplois_precaires", "Part des emplois précaires parmi les emplois", "2020", "%"),
    ("part_familles_monoparentales", "Part des familles monoparentales parmi les familles", "2020", "%"),
    ("part_menages_1_personne", "Part des ménages d'une personne", "2020", "%"),
    ("part_moins_25_ans", "Part des moins de 25 ans dans la population", "2020", "%"),
    ("part_60_ans_ou_plus", "Part des 60 ans ou plus dans la population", "2020", "%"),
    ("part_75_ans_ou_plus", "Part des 75 ans ou plus dans la population", "2020", "%"),
    (
        "part_menages_1_personne_75_ans_ou_plus",
        "Part des 75 ans ou plus parmi les ménages seuls",
        "2020",
        "%",
    ),
    ("part_logements_suroccupes", "Part des résidences principales suroccupées", "2020", "%"),
    ("part_locataires", "Part des ménages locataires", "2020", "%"),
    ("part_menages_avec_voiture", "Part des ménages qui disposent d'une voiture", "2020", "%"),
)
_RIGHTS = (
    ("assures_regime_general", "Assurés du régime général", "2023", "personnes"),
    ("c2s_sans_participation", "Bénéficiaires de la C2S sans participation", "2023", "personnes"),
    ("part_c2s_non_participative", "Part de la C2S sans participation parmi les assurés", "2023", "%"),
    ("c2s_avec_participation", "Bénéficiaires de la C2S avec participation", "2023", "personnes"),
    ("part_c2s_participative", "Part de la C2S avec participation parmi les assurés", "2023", "%"),
    ("part_moins_18_ans_c2s", "Part des moins de 18 ans parmi les bénéficiaires", "2023", "%"),
    ("part_60_ans_c2s", "Part des 60 ans ou plus parmi les bénéficiaires", "2023", "%"),
    ("allocataires_aah", "Allocataires de l'allocation aux adultes handicapés", "2024", "foyers"),
)
_YEARS = ("2019", "2020", "2021", "2022")
_AREAS = {"commune": "25056", "departement": "25", "france": "FR"}
_AREA_NAMES = {"commune": "Besançon", "departement": "Doubs", "france": "France"}
_UNITS = {"medecins_generalistes": "consultations par an et par habitant"}
_PER_DOCTOR = "pour 100 000 habitants"
UNREAD = "Source non lue : assurés par QPV (CNAM)"
_PER_PEOPLE = "ETP pour 100 000 habitants"
_MESHES = {
    "qpv": "Quartier",
    "iris_du_qpv": "IRIS qui couvrent le quartier",
    "commune": "Commune",
    "departement": "Département",
    "france": "France",
}


def made_up(*names: object, most: float = 100.0) -> float:
    """Return a number that depends on names alone, with one decimal."""
    return round(zlib.crc32("/".join(map(str, names)).encode()) % 997 / 997 * most, 1)


def health_layers(qpv: gpd.GeoDataFrame, town: str = "25056") -> dict[str, pd.DataFrame]:
    """Return every table of the health approach for some QPV, as of one commune."""
    places = _places(qpv, town)
    tables = {
        "sante": pd.DataFrame(list(_rows(qpv))),
        "offre_soins": pd.DataFrame(list(_supply(qpv, places))),
        "offre_soins_lieux": places,
        "apl": pd.DataFrame(list(_apl())),
        "accessibilite": pd.DataFrame(list(_index(qpv))),
        "etablissements_finess": _finess(places),
        "objectifs_indicateurs": pd.DataFrame(
            [
                {
                    "objectif": "Accompagner les habitants tout au long de leur vie dans leur émancipation",
                    "action": "Accès aux droits et à la santé",
                    "indicateur": identifier,
                    "libelle": label,
                    "table_suivie": table,
                }
                for identifier, label, table in (
                    ("taux_pauvrete_60", "Taux de pauvreté", "statistiques"),
                    *((identifier, label, "sante") for identifier, label, _, _ in _RIGHTS),
                    ("apl_medecins_generalistes", "APL aux médecins généralistes", "sante"),
                    ("part_75_ans_iris", "Population de 75 ans ou plus", "sante"),
                )
            ]
        ),
    }
    return dict(tables)


def _rows(qpv: gpd.GeoDataFrame) -> Iterator[dict[str, Any]]:
    for code, name in zip(qpv["code_qp"], qpv["lib_qp"], strict=True):
        for order, row in enumerate(_rows_of(code, name), 1):
            yield _EMPTY | row | {"code_qp": code, "lib_qp": name, "ordre": order}


_EMPTY: dict[str, Any] = {
    "borne_basse": np.nan,
    "borne_haute": np.nan,
    "rang": pd.NA,
    "rang_sur": pd.NA,
    "rang_parmi": None,
    "source": "essai",
    "fichier": "essai.csv",
    "remarque": None,
    "statut": "ok",
}


def _rows_of(code: str, name: str) -> Iterator[dict[str, Any]]:
    own = _area("qpv", code, name)
    for measure in _DETERMINANTS:
        value = made_up(code, measure[0])
        row = {"rubrique": "Déterminants de santé", **own, **_measure(measure), "valeur": value}
        ranks = {"rang": 1 + int(value), "rang_sur": 1299, "rang_parmi": "QPV de métropole"}
        if measure[0] == "part_logements_suroccupes":
            yield row | {"valeur": np.nan, "statut": "secret"}
        elif measure[0] == "taux_emploi":
            yield row | ranks | {"borne_basse": value - 1, "borne_haute": value + 1}
        else:
            yield row | ranks
    elderly = ("part_75_ans_iris", "Population de 75 ans ou plus", "2021", "%")
    around = {"rubrique": "Déterminants de santé", **_area("iris_du_qpv", code, name), **_measure(elderly)}
    yield around | {"valeur": 12.34, "statut": "estimation"}
    for measure in _RIGHTS:
        value = float(round(made_up(code, measure[0], most=900)))
        yield {"rubrique": "Accès aux droits", **own, **_measure(measure), "valeur": value}
    ill = _measure(("ald", "Personnes en affection de longue durée", None, "personnes"))
    unread = {"valeur": np.nan, "statut": "non_disponible", "remarque": UNREAD}
    yield {"rubrique": "Accès aux droits", **own, **ill, **unread}
    for category in PROFESSIONS:
        index = (f"acces_{category}", f"{CATEGORIES[category]} : indice d'accessibilité", "2025", _PER_DOCTOR)
        value = made_up(code, category, most=120)
        estimate = {"valeur": value, "statut": "estimation", "borne_basse": 1.0, "borne_haute": 130.0}
        yield {"rubrique": "Accessibilité aux soins", **own, **_measure(index), **estimate}
    context = {
        (f"apl_{name}", f"{CATEGORIES[name]} : APL", "2022", _UNITS.get(name, _PER_PEOPLE)): 3.77
        for name in PROFESSIONS
    } | {
        ("ald_commune", "Part des assurés en affection de longue durée", "2022", "%"): 17.77,
        ("taux_pauvrete_60", "Taux de pauvreté", "2021", "%"): 23.77,
        ("niveau_vie_median", "Niveau de vie médian", "2021", "€"): 21_777.0,
    }
    for measure, value in context.items():
        for extra, (zone, area) in enumerate(_AREAS.items()):
            where = _area(zone, area, _AREA_NAMES[zone])
            yield {"rubrique": "Contexte communal", **where, **_measure(measure), "valeur": value + extra}


def _area(zone: str, code: str, name: str) -> dict[str, str]:
    return {"zone": zone, "code": code, "nom_zone": name, "maille": _MESHES[zone]}


def _measure(measure: tuple[str, str, str | None, str]) -> dict[str, str | None]:
    return dict(zip(("ligne", "libelle", "millesime", "unite"), measure, strict=True))


def _places(qpv: gpd.GeoDataFrame, town: str) -> gpd.GeoDataFrame:
    """Return a point of care every 400 m around the QPV, a category after the other but the last."""
    near = shapely.union_all(shapely.buffer(qpv.geometry.to_numpy(), 1000))
    west, south, east, north = near.bounds
    xs, ys = np.meshgrid(np.arange(west, east, 400.0), np.arange(south, north, 400.0))
    points = shapely.points(xs.ravel(), ys.ravel())
    points = points[shapely.contains(near, points)]
    names = np.resize(list(CATEGORIES)[:-1], len(points))
    x, y = shapely.get_x(points), shapely.get_y(points)
    inside = [
        next(iter(qpv.loc[shapely.contains(qpv.geometry.to_numpy(), point), "code_qp"]), None)
        for point in points
    ]
    return gpd.GeoDataFrame(
        {
            "categorie": names,
            "libelle": [CATEGORIES[name] for name in names],
            "nombre": 1 + np.arange(len(points)) % 3,
            "precision": "adresse",
            "insee_com": town,
            "code_qp": inside,
            "x": x,
            "y": y,
            "millesime": "2025",
        },
        geometry=points,
        crs=qpv.crs,
    )


def _finess(places: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return one establishment at the first place of hospitals."""
    hospital = places[places["categorie"] == "hopitaux"].iloc[[0]]
    return gpd.GeoDataFrame(
        {
            "nofinesset": ["250000999"],
            "nofinessej": ["250000998"],
            "rs": ["Clinique d'essai"],
            "categetab": ["355"],
            "libcategetab": ["Centre hospitalier"],
            "siret": [None],
            "insee_com": hospital["insee_com"].tolist(),
            "code_qp": hospital["code_qp"].tolist(),
            "sourcecoordet": ["essai"],
            "datemaj": [pd.Timestamp("2025-01-01")],
            "rapprochement": ["rapproché"],
            "type_equipement": ["D101"],
            "distance_bpe_m": [0.0],
            "millesime": ["2025"],
        },
        geometry=hospital.geometry.to_numpy(),
        crs=places.crs,
    )


def _supply(qpv: gpd.GeoDataFrame, places: gpd.GeoDataFrame) -> Iterator[dict[str, Any]]:
    for code, name, shape in zip(qpv["code_qp"], qpv["lib_qp"], qpv.geometry, strict=True):
        distances = shapely.distance(places.geometry.to_numpy(), shape)
        for category, label in CATEGORIES.items():
            own = places["categorie"].to_numpy() == category
            counts = [
                int(places["nombre"].to_numpy()[own & (distances <= most)].sum())
                for most in (0, 300, 500, 1000)
            ]
            nearest = distances[own].min() if own.any() else np.nan
            yield {
                "code_qp": code,
                "lib_qp": name,
                "categorie": category,
                "libelle": label,
                "types_equipement": "D000",
                "nombre_qpv": counts[0],
                "nombre_300m": counts[1],
                "nombre_500m": counts[2],
                "nombre_1000m": counts[3],
                "dedans_300m_limite": counts[0],
                "dehors_300m_limite": counts[1] - counts[0],
                "distance_m": nearest,
                "depuis": "contour",
                "position_dans_la_rue": 1,
                "non_localises": 2,
                "nombre_insee": counts[0],
                "statut": "ok",
                "millesime": "2025",
                "source": "essai",
                "fichier": "essai.csv",
            }


def _apl() -> Iterator[dict[str, Any]]:
    for profession in PROFESSIONS:
        for zone, code in _AREAS.items():
            for year in _YEARS:
                yield {
                    "zone": zone,
                    "code": code,
                    "nom": _AREA_NAMES[zone],
                    "profession": profession,
                    "libelle": CATEGORIES[profession],
                    "millesime": year,
                    "valeur": 2 + made_up(profession, zone, year, most=4),
                    "unite": _UNITS.get(profession, _PER_PEOPLE),
                    "statut": "ok" if zone == "commune" else "estimation",
                    "population": 1000.0,
                    "rang": 12 if zone == "commune" else pd.NA,
                    "rang_sur": 3702 if zone == "commune" else pd.NA,
                    "source": "essai",
                    "fichier": "essai.xlsx",
                    "code_producteur": "APL",
                }


def _index(qpv: gpd.GeoDataFrame) -> Iterator[dict[str, Any]]:
    zones = [("qpv", code, name) for code, name in zip(qpv["code_qp"], qpv["lib_qp"], strict=True)]
    for zone, code, name in (*zones, ("commune", "25056", "Besançon")):
        for profession in PROFESSIONS:
            value = made_up(code, profession, "indice", most=120) if zone == "qpv" else 47.77
            yield {
                "zone": zone,
                "code": code,
                "nom": name,
                "profession": profession,
                "libelle": CATEGORIES[profession],
                "valeur": value,
                "borne_basse": value * 0.8,
                "borne_haute": value * 1.3,
                "statut": "estimation",
                "rayon_m": 5000.0,
                "population": "iris 2021",
                "millesime": "2025",
                "remarque": None,
            }
