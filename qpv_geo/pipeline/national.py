"""The national files, read once for many territories, and the tables of each territory taken from them."""

from collections.abc import Iterable
from dataclasses import replace

from qpv_geo.analysis.selection import declares, refuse_misplaced
from qpv_geo.errors import SourceUnavailableError
from qpv_geo.formats.provenance import Raws
from qpv_geo.ingest.communes import choose_communes
from qpv_geo.ingest.outside import may_hold
from qpv_geo.ingest.tables import Tables, read_tables
from qpv_geo.pipeline.country import Country, attributes_of
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.new_territory import qpv_without_territory, territories_with_qpv
from qpv_geo.territory import Territory, load_territory


def read_national(job: Job, raws: Raws) -> Tables:
    """Read the national files into the tables of the territory France."""
    france = load_territory("france")
    return read_tables(raws, france, job.catalogue, job.registry, job.settings, several=True)


def tables_of(territory: Territory, national: Tables) -> Tables:
    """Return the tables of an EPCI: what is drawn in Lambert-93 is of metropolitan France only.

    Raises `ContractError` if something is wrong with a feature that may be the territory's, or if a QPV that
    declares it lies elsewhere; the other territories have their releases all the same.
    """
    for aside in national.set_aside:
        aside.refuse(may_hold(territory, aside.features))
    metropolitan = territory.epsg == load_territory("france").epsg
    communes = national.communes if metropolitan else national.overseas[territory.epsg]
    found = choose_communes(communes, territory)
    if (qpv := national.contours.by_epsg.get(territory.epsg)) is not None:
        refuse_misplaced(qpv[declares(qpv, territory)], communes)
    tables = replace(national, communes=found.of_territory, around=None, overseas={})
    if not metropolitan:
        return tables.without_metropole()
    if national.iris is None:
        return tables
    iris = national.iris[national.iris["insee_com"].isin(found.codes)]
    return replace(tables, iris=iris.reset_index(drop=True) if len(iris) else None)


def territories_of(national: Tables) -> list[Territory]:
    """Return a territory for each EPCI that has a QPV; raises if the composition of the EPCI was not read."""
    return territories_with_qpv(_country(national))


def qpv_left_out(national: Tables, territories: Iterable[Territory]) -> list[str]:
    """Return the QPV that are in none of the territories: on islands without EPCI, or with lapsed codes."""
    return qpv_without_territory(_country(national), territories)


def _country(tables: Tables) -> Country:
    if tables.epci_members is None:
        raise SourceUnavailableError("source cog_epci is absent, and it alone says which EPCI there are")
    named = [aside.features for aside in tables.set_aside if "communes" in aside.source.fills]
    communes = [tables.communes, *tables.overseas.values(), *named]
    return Country(attributes_of(communes), tables.epci_members, tables.contours.attributes)
