"""The checks that a run makes and publishes (table ``controles``), one list of all of them."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Literal

from qpv_geo.territory import Territory

Outcome = Literal["conforme", "avertissement", "non_verifiable"]

CHECKS: Mapping[str, str] = {
    # Sources and raw files.
    "source_absente": "La source n'a pas été lue : ses données manquent, ou viennent d'un second choix.",
    "source_ecartee": "Le fichier de la source n'est pas conforme : rien n'en est repris.",
    "lecture_du_fichier": "Le fichier, ou une table de ce fichier, se lit sans rien d'inhabituel.",
    # Contours.
    "nombre_qpv_metropole": "Le fichier national compte les QPV attendus en France métropolitaine.",
    "nombre_qpv_departement": "Le fichier national compte les QPV attendus dans le département.",
    "nombre_qpv_territoire": "Le territoire compte les QPV que sa configuration attend.",
    "nombre_qpv_2015_metropole": "Le fichier compte les QPV de 2015 attendus en France métropolitaine.",
    "nombre_qpv_2015_france": "Le fichier compte les QPV de 2015 attendus en France.",
    "entite_ecartee": "Une entité fautive hors du territoire est laissée de côté.",
    "contours_repares": "Les contours officiels sont valides, ou leur réparation change peu leur surface.",
    "champs_vides": "Aucun champ officiel des QPV n'est vide à la source.",
    "zones_declarees": "La table dit dans quelles communes et quels EPCI est chaque QPV.",
    # Tables of statistics.
    "colonne_ecartee": "Une colonne non conforme est laissée de côté, le reste du fichier est repris.",
    "valeurs_absentes": "Les valeurs absentes d'une table sont comptées par motif.",
    "indicateurs_reconnus": "La table a tous les indicateurs attendus et aucun autre.",
    "qpv_sans_statistique": "Chaque QPV du territoire a une ligne dans la source.",
    "qpv_de_france_sans_ligne": "Chaque QPV de France a une ligne dans la source.",
    "statistique_sans_qpv": "Chaque code de QPV de la source a un contour.",
    # The territory.
    "communes_du_territoire": "Le territoire compte les communes que sa configuration attend.",
    "communes_du_cog": "Les communes avec contour sont celles du code officiel géographique.",
    "chevauchement_des_communes": "Les contours des communes ne se chevauchent sous aucun QPV.",
    "qpv_du_territoire": "Les QPV retenus sont ceux du territoire.",
    "qpv_voisins": "Tous les QPV voisins du territoire sont connus.",
    "epci_declare_ou_calcule": "L'EPCI déclaré d'un QPV est celui des communes qu'il recouvre.",
    "commune_declaree_ou_calculee": "Les communes déclarées d'un QPV sont celles qu'il recouvre.",
    "ecart_au_contrat": "Les chiffres du Contrat de ville sont proches de ceux des sources.",
    "fond_de_plan_lu": "Les objets du fond de plan se lisent, et sont comptés.",
    "fond_de_plan_complet": "Le fond de plan a des rues dans chaque QPV.",
    # From 2015 to 2024.
    "qpv_2015_du_territoire": "Les QPV de 2015 retenus sont pour l'essentiel dans le territoire.",
    "conservation_des_surfaces": "Les surfaces conservées, entrées et sorties font celles des QPV.",
    "lettre_du_code": "La dernière lettre du code d'un QPV dit d'où vient son contour.",
    "table_de_correspondance": "Les prédécesseurs calculés d'un QPV sont ceux de la table de correspondance.",
    "correspondance_complete": "La table de correspondance cite chaque QPV 2024.",
    # IRIS and districts.
    "geographie_des_iris": "Les statistiques à l'IRIS et les contours sont de la même date.",
    "iris_sans_contour": "Chaque IRIS de la source a un contour.",
    "iris_sans_statistique": "Chaque IRIS a une ligne dans la source.",
    "quartiers_par_iris": "Les contours des IRIS dont des quartiers se composent ont été lus.",
    "chevauchement_des_quartiers": "Les contours des quartiers ne se chevauchent pas.",
    "contours_des_quartiers_fragiles": "Chaque quartier fragile du contrat a un contour.",
    "commune_du_quartier_fragile": "Chaque quartier fragile est dans la commune que le contrat nomme.",
    # Facilities.
    "types_equipement_reconnus": "Le fichier a des équipements de tous les types comptés.",
    "equipements_positions_aleatoires": "Une position tirée au sort dans la commune n'est pas retenue.",
    "equipements_non_localises": "Les équipements du territoire ont des coordonnées.",
    "equipements_communes_couvertes": "La source couvre toutes les communes du territoire.",
    # What producers say, compared, and what is written.
    "concordances": "Les producteurs ne se contredisent pas.",
    "arrondi_geojson": "Les contours arrondis en GeoJSON restent valides.",
}
"""By code, in a French sentence, what a check controls. A code is never renamed."""


@dataclass(frozen=True)
class Check:
    """One control, in the words that GIS users read.

    A control that fails outright is not a `Check`: it raises, and nothing is published.
    """

    code: str
    subject: str
    """What was looked at: a source id, a layer, a QPV code."""
    outcome: Outcome
    """``conforme``, ``avertissement`` (published all the same, somebody should look) or ``non_verifiable``
    (with the reason in `message`)."""
    expected: str
    found: str
    """As text, in French."""
    message: str
    """One sentence in French."""

    def __post_init__(self) -> None:
        """Refuse a code that the report and the documents cannot explain."""
        if self.code not in CHECKS:
            raise ValueError(f"check {self.code!r} is not listed in qpv_geo/checks.py: add its sentence")


def check_none(
    code: str,
    subject: str,
    exceptions: Sized,
    message: str,
    otherwise: str = "",
    counts: tuple[int | str, int | str] | None = None,
) -> Check:
    """Return a check that expects no exception: a warning if there is one, else with the other message.

    `counts` are what was expected and what was found: by default none, and the number of exceptions.
    """
    expected, found = map(str, counts or (0, len(exceptions)))
    if len(exceptions):
        return Check(code, subject, "avertissement", expected, found, message)
    return Check(code, subject, "conforme", expected, found, otherwise or message)


def check_expected(code: str, count: int, noun: str, territory: Territory) -> Check:
    """Return the check of a count that is the one that the territory file expects."""
    message = f"{count} {noun} dans {territory.nom}, comme attendu."
    return Check(code, territory.id, "conforme", str(count), str(count), message)
