"""A release as its own files tell it, whatever version of the project wrote them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qpv_geo.audit.geopackage import StoredTable, read_geopackage
from qpv_geo.errors import PublicationError
from qpv_geo.formats.descriptions import DESCRIPTOR
from qpv_geo.formats.fields import GEOMETRY_COLUMN

# What a comparison cannot do without.
_NEEDED = {
    "qpv": {"code_qp", "lib_qp", GEOMETRY_COLUMN},
    "statistiques": {"zone", "code", "indicateur", "millesime", "valeur", "statut"},
    "indicateurs": {"indicateur", "libelle", "additif"},
    "sources": {"source", "titre", "etat", "millesime", "date_source", "origine", "fichier", "sha256"},
}


@dataclass(frozen=True)
class PublishedRelease:
    """A release read back: its layers by name."""

    id: str
    fingerprint: str
    tables: Mapping[str, StoredTable]


def read_published(path: Path) -> PublishedRelease:
    """Read a release from its descriptor and its GeoPackage.

    Raises `PublicationError` if it cannot be read, or lacks what a comparison needs.
    """
    try:
        descriptor = json.loads((path / DESCRIPTOR).read_text(encoding="utf-8"))
        (package,) = path.glob("qpv_*.gpkg")
        tables = read_geopackage(package)
        _require_what_is_compared(tables)
        return PublishedRelease(descriptor["version"], descriptor["fingerprint"], tables)
    except (OSError, ValueError, KeyError, TypeError, PublicationError) as error:
        raise PublicationError(
            f"{path}: the release cannot be read ({type(error).__name__}: {error}); "
            "`qpv-geo releases verify` tells what is wrong with it"
        ) from error


def _require_what_is_compared(tables: Mapping[str, StoredTable]) -> None:
    for name, columns in _NEEDED.items():
        if missing := columns - set(tables[name].rows.columns):
            raise KeyError(f"layer {name} lacks {', '.join(sorted(missing))}")
