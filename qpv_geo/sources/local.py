"""Files of the territory itself: where its configuration says, in the format that their names say."""

from qpv_geo.errors import ConfigurationError
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Format, Source, TerritoryFileAddress
from qpv_geo.sources.content import check_content
from qpv_geo.sources.raw import RawFile, digest
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

    Parameters
    ----------
    source
        Its entry in the catalogue; what the territory knows better (format, producer, date) replaces it.
    address
        Which file it is.
    territory
        Declares the file.
    settings
        Limits of archives.

    Raises
    ------
    ConfigurationError
        If the territory declares no such file, it is not there, or its name does not say its format.
    SourceContentError
        If it is not of its format.
    """
    declared = territory.file(address.key)
    if declared is None:
        raise ConfigurationError(f"territory {territory.id!r} declares no {address.key!r}")
    path = territory.locate(declared)
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
            "member": r"(?i)(.*/)?[^/]*\.shp" if form == "shp" else None,
            "publisher": declared.producteur or (contact.organisation if contact else territory.nom),
            "page": (contact.site if contact else None) or "",
            "vintage": str(declared.mise_a_jour.year),
            "geography": None,
            "published": declared.mise_a_jour,
        }
    )
    try:
        sha256, size = digest(path)
    except OSError as error:
        raise ConfigurationError(f"{where}: {path} cannot be read: {error}") from error
    raw = RawFile(known_better, path, sha256, size, None, None, None, None, None, "local", "local")
    check_content(raw, settings)
    return raw
