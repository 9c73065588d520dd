"""``qpv-geo territory show`` and ``territory init``: the files of territories, read and written."""

from pathlib import Path
from typing import Annotated

import geopandas as gpd
import typer

from qpv_geo.analysis.districts import fragile_districts, local_districts
from qpv_geo.analysis.health_plan import objectives_table
from qpv_geo.commands.options import DataDir, Mirror, settings_of
from qpv_geo.commands.output import Json, print_entries
from qpv_geo.errors import ConfigurationError, ContractError, SourceContentError
from qpv_geo.ingest.additions import administrator_contact, declarations
from qpv_geo.ingest.communes import read_territory_communes
from qpv_geo.ingest.local_contours import read_local_contours
from qpv_geo.pipeline.country import read_country
from qpv_geo.pipeline.new_territory import code_of, describe_territory, kind_of, to_toml
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.fetch import Policy, fetch, fetch_primary
from qpv_geo.sources.plan import Wanted, first_choices
from qpv_geo.sources.resolve import variants
from qpv_geo.territory import Territory, load_territory


def show(
    territory: Annotated[str, typer.Argument(help="Name of a shipped territory, or path of a TOML file.")],
    *,
    data: DataDir = None,
    as_json: Json = False,
) -> None:
    """Check a territory file and the files that it declares, and say what it is about."""
    about, settings = load_territory(territory), settings_of(data)
    catalogue, registry = declarations(settings, about)
    objectives_table(about, registry)
    wanted = [one for one in first_choices(catalogue, about) if one.source.territory_key]
    files = _read_local_files(wanted, about, settings) if wanted else {}
    overseas = " and that of each overseas part" if about.genre == "france" else ""
    contact = about.contact or administrator_contact(settings)
    entries = {
        "identifier": about.id,
        "title": about.nom,
        "kind": about.genre,
        "code": about.code,
        "department": about.departement or "all",
        "region": about.region or "all",
        "QPV": about.expected.qpv,
        "communes": about.expected.communes or "unknown",
        "communes_with_a_QPV": len(about.communes_principales) or "not listed",
        "measured_in": f"EPSG:{about.epsg}{overseas}",
        "published_in": f"EPSG:{about.published_epsg}",
        "contact": contact.organisation
        if contact
        else "none: releases will say that nobody is declared; add a table [contact] to the territory's file",
    }
    print_entries(about.nom, entries | files, as_json=as_json)


def _read_local_files(wanted: list[Wanted], about: Territory, settings: Settings) -> dict[str, str]:
    """Read the files that a territory declares as a refresh does, and say what each holds."""
    communes = _known_communes(about, settings)
    raws = {one.key: fetch_primary(one.source, about, settings, Policy(offline=True)) for one in wanted}
    contents: dict[str, str] = {}
    errors: list[ContractError | SourceContentError] = []
    for key, raw in raws.items():
        try:
            contours, _ = read_local_contours(raw, about.files[key], about, communes, settings)
            if key == "quartiers_fichier":
                local_districts(about, None, contours, raw.label)
            elif communes is not None:
                fragile_districts(about, contours, communes, raw.label)
        except (ContractError, SourceContentError) as error:
            errors.append(error)
        else:
            contents[key] = f"{raw.path.name}, {len(contours)} contours, {raw.date}"
            if communes is None:
                contents[key] += "; compared with the communes at the first refresh"
    if errors:
        worst = max(errors, key=lambda error: error.exit_code)
        raise type(worst)("\n".join(map(str, errors)))
    return contents


def _known_communes(about: Territory, settings: Settings) -> gpd.GeoDataFrame | None:
    """Read the territory's communes from the store or the snapshot; None if neither has them."""
    for source in load_catalogue().filling("communes"):
        if source.id in variants(source, about):
            raw = fetch(source, about, settings, Policy(offline=True))
            if raw:
                return read_territory_communes(raw, about, settings).of_territory
    return None


def init(
    code: Annotated[
        str,
        typer.Argument(
            metavar="CODE",
            help="SIREN of an EPCI, INSEE code of a commune or a department, france, or a name.",
        ),
    ],
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (default: its identifier.toml here).")
    ] = None,
    mirror: Mirror = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the store only.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Holds raw/ (default: QPV_GEO_DATA, else data/)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write the file of a territory from the official geographic code and the contours."""
    named = not any(sign.isdigit() for sign in code) and code.lower() != "france"
    if not named:
        kind_of(code)
    if output:
        _refuse_existing(output, force=force)
    policy, settings = Policy(offline=offline, mirror=mirror), settings_of(data)
    country, remark = read_country(settings, policy), ""
    if named:
        code, remark = code_of(code, country)
    new, remarks = describe_territory(code.lower() if code.lower() == "france" else code, country)
    path = output or Path(f"{new.id}.toml")
    _refuse_existing(path, force=force)
    try:
        path.write_text(to_toml(new), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written ({error}); choose another with --output"
        ) from error
    for note in filter(None, (remark, *remarks)):
        typer.echo(f"note: {note}", err=True)
    expected = new.expected
    typer.echo(
        f"{path}: {new.nom}, {expected.qpv} QPV, {expected.communes} communes, "
        f"EPSG:{new.epsg}. Next: qpv-geo refresh --territory {path}"
    )


def _refuse_existing(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        raise ConfigurationError(f"{path} exists: give another --output, or --force to replace it")
