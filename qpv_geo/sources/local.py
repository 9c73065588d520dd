"""Files of the territory itself, whose configuration says where they are."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

from qpv_geo.errors import ConfigurationError, SourceContentError
from qpv_geo.settings import Settings
from qpv_geo.sources.archive import list_members
from qpv_geo.sources.catalogue import Format, Source, TerritoryFileAddress
from qpv_geo.sources.content import check_content
from qpv_geo.sources.raw import RawFile, raw_at
from qpv_geo.territory import Territory

_FORMATS: dict[str, Format] = {
    ".gpkg": "gpkg",
    ".geojson": "geojson",
    ".json": "geojson",
    ".shp": "shp",
    ".zip": "shp",
}


def territory_file(
    source: Source, address: TerritoryFileAddress, territory: Territory, settings: Settings
) -> RawFile:
    """Return a file that the territory's configuration declares, read where it lies.

    What the territory knows better (format, producer, date) replaces the catalogue's entry, `source`. Raises
    `ConfigurationError` if the territory declares no such file, it is not there, or its name does not say its
    format; `SourceContentError` if its content is not of that format.
    """
    declared = territory.files.get(address.key)
    if declared is None:
        raise ConfigurationError(f"territory {territory.id!r} declares no {address.key!r}")
    path = territory.path_of(declared)
    where = f"territory {territory.id!r}: '{address.key}.chemin'"
    if not path.is_file():
        raise ConfigurationError(f"{where}: no such file: {path}")
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        known = ", ".join(_FORMATS)
        raise ConfigurationError(
            f"{where}: expected a file whose name ends with one of {known}, found {path}"
        )
    contact = territory.contact
    known_better = source.model_copy(
        update={
            "format": form,
            "member": None,
            "publisher": declared.producteur or (contact.organisation if contact else territory.nom),
            "page": (contact.site if contact else None) or "",
            "vintage": str(declared.mise_a_jour.year),
            "geography": None,
            "published": declared.mise_a_jour,
        }
    )
    try:
        raw = raw_at(known_better, path, "local")
    except OSError as error:
        raise ConfigurationError(f"{where}: {path} cannot be read: {error}") from error
    if form == "shp":
        stem = _shapefile(raw, declared.couche, settings)[: -len(".shp")]
        member = rf"(?i){re.escape(stem)}\.shp"
        raw = replace(raw, source=known_better.model_copy(update={"member": member}))
    check_content(raw, settings)
    return raw


def _shapefile(raw: RawFile, wanted: str | None, settings: Settings) -> str:
    """Return which member is the Shapefile: the only one, or the one that the territory names."""
    paths = {name: PurePosixPath(name) for name in list_members(raw, settings)}
    layers = {name: path.stem for name, path in paths.items() if path.suffix.lower() == ".shp"}
    chosen = [name for name, stem in layers.items() if wanted in {None, stem}]
    if len(chosen) == 1:
        return chosen[0]
    key = raw.source.territory_key
    if layers:
        expected = f"a Shapefile named {wanted!r}" if wanted else "one Shapefile"
        found = f"{len(layers)}: {', '.join(sorted(layers))}"
        what_to_do = f"name the one to read, without .shp, in '{key}.couche' of the territory file"
    else:
        expected, found = "a Shapefile", ", ".join(sorted(paths)) or "nothing"
        what_to_do = f"give the file itself in '{key}.chemin': a .zip is for the files of a Shapefile"
    raise SourceContentError(f"{raw.label}: expected {expected}, found {found}. What to do: {what_to_do}")
