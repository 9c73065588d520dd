"""The parameters of the flows: their types, what the API refuses, how Prefect's forms show them."""

from typing import Annotated, Any, Literal

from pydantic import Field

from qpv_geo.errors import ConfigurationError
from qpv_geo.pipeline.job import Job, job_for
from qpv_geo.releases.formats import ON_REQUEST
from qpv_geo.territory import territory_names


def _shown(title: str, description: str, **limits: Any) -> Any:  # noqa: ANN401 - as `Field`
    """Say how a form shows a parameter, and which values it takes.

    Prefect writes a title and a description of its own over those of a field, but leaves what is given here.
    """
    return Field(json_schema_extra={"title": title, "description": description}, **limits)


TerritoryName = Annotated[
    str,
    _shown(
        "Territoire",
        f"Territoire livré ({', '.join(territory_names())}), ou chemin d'un fichier .toml là où le flow "
        "s'exécute.",
        min_length=1,
    ),
]
Offline = Annotated[
    bool,
    _shown(
        "Hors ligne",
        "N'utiliser aucun réseau : les dernières copies valides, puis les données fournies avec le "
        "programme. Incompatible avec « Exiger les sites officiels ».",
    ),
]
Mirror = Annotated[
    Annotated[str, Field(min_length=1)] | None,
    _shown(
        "Miroir",
        "Dossier, ou adresse http(s) sans mot de passe, organisé comme les sites officiels, à leur "
        "place. Vide : les sites officiels.",
    ),
]
MirrorAddress = Annotated[
    Annotated[str, Field(pattern="^https?://.+")] | None,
    _shown(
        "Miroir", "Adresse http(s) d'un miroir à la place des sites officiels. Vide : les sites officiels."
    ),
]
RequireLive = Annotated[
    bool,
    _shown(
        "Exiger les sites officiels",
        "Échouer plutôt que d'utiliser une copie plus ancienne quand un site ne répond pas.",
    ),
]
DataFolder = Annotated[
    Annotated[str, Field(min_length=1)] | None,
    _shown(
        "Dossier des données",
        "Dossier qui contient raw/ et out/, là où le flow s'exécute. Vide : QPV_GEO_DATA, sinon data/.",
    ),
]
Formats = Annotated[
    tuple[Literal[*ON_REQUEST], ...],  # type: ignore[valid-type] # the names are those of one list
    _shown(
        "Autres formats",
        "En plus du GeoPackage, du GeoJSON, du CSV et des pages : FlatGeobuf, GeoParquet, classeur XLSX.",
    ),
]
Pages = Annotated[bool, _shown("Portraits", "Écrire aussi les pages ; sinon, les données seules.")]
Workers = Annotated[
    int,
    _shown(
        "Processus",
        "Nombre de processus sur cette machine. 0 : un par cœur. Sans effet si QPV_GEO_DASK désigne un "
        "ordonnanceur.",
        ge=0,
        le=256,
    ),
]
Only = Annotated[
    tuple[str, ...],
    _shown("Seulement", "SIREN d'EPCI ou départements (25, 2A, 974) à publier seuls. Vide : tous."),
]
Force = Annotated[
    bool,
    _shown(
        "Forcer",
        "Refaire la publication même si ni les sources ni le programme n'ont changé. Une publication "
        "retenue le reste, et une autre exécution n'est pas interrompue.",
    ),
]
Wait = Annotated[
    float,
    _shown(
        "Attente",
        "Secondes pendant lesquelles attendre la fin d'une autre exécution du même territoire. Deux "
        "territoires ne s'attendent pas.",
        ge=0,
    ),
]

# What a run waits for another one of the same territory: it is no reason to alarm anybody.
WAIT = 7200.0

# The options that messages name, as the form calls them.
_LABELS = {
    "--territory": "« Territoire »",
    "--offline": "« Hors ligne »",
    "--mirror": "« Miroir »",
    "--require-live": "« Exiger les sites officiels »",
    "--data": "« Dossier des données »",
    "--formats": "« Autres formats »",
    "--only": "« Seulement »",
    "--force": "« Forcer »",
}


def job_of_form(*given: Any, **named: Any) -> Job:  # noqa: ANN401 - those of `job_for`
    """Return the job of a form; raises as `job_for`, with the form's own words."""
    try:
        return job_for(*given, **named)
    except ConfigurationError as error:
        message = str(error)
        for option, label in _LABELS.items():
            message = message.replace(option, label)
        raise ConfigurationError(message) from error
