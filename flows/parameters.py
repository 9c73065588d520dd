"""The parameters of the flows: their types, what the API refuses, how Prefect's forms show them."""

import re
from typing import Annotated, Literal

from pydantic import Field
from pydantic.config import JsonDict

from qpv_geo.releases.formats import ON_REQUEST
from qpv_geo.territory import territory_names


def _shown(title: str, description: str) -> JsonDict:
    """Say how a form shows a parameter.

    Prefect writes a title and a description of its own over those of a field, but leaves what is given here.
    """
    return {"title": title, "description": description}


TerritoryName = Annotated[
    str,
    Field(
        pattern=rf"^({'|'.join(re.escape(name) for name in territory_names())}|.+\.toml)$",
        json_schema_extra=_shown(
            "Territoire",
            f"Territoire livré ({', '.join(territory_names())}), ou chemin d'un fichier .toml là où le flow "
            "s'exécute.",
        ),
    ),
]
Offline = Annotated[
    bool,
    Field(
        json_schema_extra=_shown(
            "Hors ligne",
            "N'utiliser aucun réseau : les dernières copies valides, puis l'instantané livré. "
            "Incompatible avec « Exiger les sites officiels ».",
        )
    ),
]
Mirror = Annotated[
    Annotated[str, Field(min_length=1)] | None,
    Field(
        json_schema_extra=_shown(
            "Miroir",
            "Dossier, ou adresse http(s) sans mot de passe, organisé comme les sites officiels, à leur "
            "place. Vide : les sites officiels.",
        )
    ),
]
MirrorAddress = Annotated[
    Annotated[str, Field(pattern="^https?://.+")] | None,
    Field(
        json_schema_extra=_shown(
            "Miroir",
            "Adresse http(s) d'un miroir à la place des sites officiels. Vide : les sites officiels.",
        )
    ),
]
RequireLive = Annotated[
    bool,
    Field(
        json_schema_extra=_shown(
            "Exiger les sites officiels",
            "Échouer plutôt que d'utiliser une copie plus ancienne quand un site ne répond pas.",
        )
    ),
]
DataFolder = Annotated[
    Annotated[str, Field(min_length=1)] | None,
    Field(
        json_schema_extra=_shown(
            "Dossier des données",
            "Dossier qui contient raw/ et out/, là où le flow s'exécute. Vide : QPV_GEO_DATA, sinon data/.",
        )
    ),
]
Formats = Annotated[
    tuple[Literal[*ON_REQUEST], ...],  # type: ignore[valid-type] # the names are those of one list
    Field(
        json_schema_extra=_shown(
            "Autres formats",
            "En plus du GeoPackage, du GeoJSON, du CSV et des pages : FlatGeobuf, GeoParquet, classeur XLSX.",
        )
    ),
]
Pages = Annotated[
    bool, Field(json_schema_extra=_shown("Portraits", "Écrire aussi les pages ; sinon, les données seules."))
]
Workers = Annotated[
    int,
    Field(
        ge=0,
        le=256,
        json_schema_extra=_shown(
            "Processus",
            "Nombre de processus sur cette machine. 0 : un par cœur. Sans effet si QPV_GEO_DASK désigne un "
            "ordonnanceur.",
        ),
    ),
]
Only = Annotated[
    tuple[str, ...],
    Field(
        json_schema_extra=_shown(
            "Seulement", "SIREN d'EPCI ou départements (25, 2A, 974) à publier seuls. Vide : tous."
        )
    ),
]
Force = Annotated[
    bool,
    Field(
        json_schema_extra=_shown(
            "Forcer", "Publier de nouveau même si ni les sources ni le code n'ont changé."
        )
    ),
]
Wait = Annotated[
    float,
    Field(
        ge=0,
        json_schema_extra=_shown(
            "Attente", "Secondes pendant lesquelles attendre la fin d'une autre exécution du même territoire."
        ),
    ),
]
