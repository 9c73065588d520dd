"""From a catalogue entry to the address of its file, at the publisher's and in a mirror.

A plain address needs no look-up. Pages of insee.fr and descriptions of data.gouv.fr datasets are read, their
links listed, and one is chosen by the declared pattern:

1. the link's file name (or the resource's title) matches the pattern in full;
2. links to the declared format are preferred to links that do not say theirs (``…_QP24.zip``), and those to
   links to another (``…_xlsx.zip``, ``.pdf``);
3. then the highest version wins: INSEE re-issues ``name.csv`` as ``name_v2.csv``;
4. if several are left, nobody can tell which is meant, and that is an error.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote, urlencode, urljoin, urlsplit

from qpv_geo.errors import ConfigurationError, SourceContentError, SourceUnavailableError
from qpv_geo.sources.catalogue import (
    Address,
    DataGouvAddress,
    InseePageAddress,
    PlainAddress,
    Source,
    TerritoryFileAddress,
    WfsAddress,
)
from qpv_geo.sources.raw import catalogue_entry, to_add
from qpv_geo.territory import Territory

_DATA_GOUV = "https://www.data.gouv.fr"
_INSEE = "https://www.insee.fr"
_INSEE_FILE = re.compile(r"/fr/statistiques/fichier/\d+/[^/]+")
# An anchor of any page, in linear time: Python's parser fails on some, and takes squares of time for others.
_ANCHOR = re.compile(
    r"""<a\s[^<>]*?(?<![\w-])href\s*=\s*(?:"([^"<>]*)"|'([^'<>]*)'|([^\s"'<>]+))""", re.IGNORECASE
)
_VERSION = re.compile(r"_v(\d{1,9})(?=[_.]|$)", re.IGNORECASE)
_FORMAT_WORDS = {"csv", "xls", "xlsx", "ods", "pdf", "geojson", "json", "gpkg", "shp", "parquet", "html"}
_LISTED = 30


@dataclass(frozen=True)
class Link:
    """A link that a page offers: the name of its file, the title that the page gives it, its address."""

    name: str
    title: str
    url: str


def expand(template: str, territory: Territory) -> str:
    """Fill ``{epci}``, ``{departement}``, ``{commune}`` and ``{code}``, the one that names the territory.

    A source by commune is one raw file for each commune (see `variants`). Raises `ConfigurationError` for
    another field, or for *the* commune of a territory that has not exactly one.
    """
    known = {"epci": territory.epci, "departement": territory.departement, "code": territory.code}
    codes = {name: code for name, code in known.items() if code is not None}
    if len(territory.communes_principales) == 1:
        codes["commune"] = territory.communes_principales[0]
    try:
        return template.format_map(codes)
    except (LookupError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{template!r} cannot be filled for territory {territory.id!r} ({error}): the fields are "
            "{code}, {epci}, {departement} and {commune}; {commune} needs exactly one of communes_principales"
        ) from error


def variants(source: Source, territory: Territory) -> dict[str, Territory]:
    """Return the territories that a source's addresses are filled with, by key of the raw file.

    A source is one raw file, under its id. A source by commune is one for each of the main communes: its key
    ends with the commune's code, and its territory is narrowed to that commune. A source by EPCI is none for
    a territory of another kind, nor is a file that the territory may declare if it does not, nor for France
    what is asked for around the QPV.
    """
    match source.address:
        case TerritoryFileAddress(key=key):
            return {source.id: territory} if key in territory.files else {}
        case PlainAddress(url=url) if "{commune}" in url:
            narrowed = (
                territory.model_copy(update={"communes_principales": (code,)})
                for code in territory.communes_principales
            )
            return {raw_key(source, each): each for each in narrowed}
        case WfsAddress():
            return {} if territory.genre == "france" else {raw_key(source, territory): territory}
        case PlainAddress(url=url) if "{epci}" in url and territory.genre != "epci":
            return {}
        case _:
            return {source.id: territory}


def raw_key(source: Source, territory: Territory) -> str:
    """Return what tells a raw file from all others: the source's id and the codes that its address holds."""
    if isinstance(source.address, WfsAddress):
        return f"{source.id}-{territory.code}"
    if not isinstance(source.address, PlainAddress):
        return source.id
    fields = re.findall(r"\{\w+\}", source.address.url)
    return "-".join([source.id, *(expand(field, territory) for field in fields)])


def mirror_paths(source: Source, territory: Territory) -> list[str]:
    """Return the file's possible paths in a mirror or in the snapshot, the preferred one first."""
    return [expand(path, territory) for path in source.mirror]


def lookup_url(source: Source) -> str | None:
    """Return the address of the page that links the file, None when the file's own address is known."""
    match source.address:
        case InseePageAddress(page=page):
            return f"{_INSEE}/fr/statistiques/{page}"
        case DataGouvAddress(dataset=dataset, resource=None):
            return f"{_DATA_GOUV}/api/1/datasets/{dataset}/"
        case _:
            return None


def known_url(source: Source, territory: Territory) -> str:
    """Return the address of a file that needs no look-up; that of a resource of data.gouv.fr redirects."""
    match source.address:
        case PlainAddress(url=url):
            return expand(url, territory)
        case WfsAddress() as address:
            return wfs_url(address, territory.epsg)
        case DataGouvAddress(resource=str(resource)):
            return f"{_DATA_GOUV}/fr/datasets/r/{resource}"
        case _:
            raise ValueError(f"the address of {source.id} is found through {lookup_url(source)}")


def wfs_url(address: WfsAddress, epsg: int) -> str:
    """Return the address that stands for a whole download: the service; its fragment says what is asked."""
    boxes = "/".join(",".join(f"{side:.0f}" for side in box) for box in address.boxes)
    what = urlencode({"TYPENAMES": ",".join(address.types), "SRSNAME": f"EPSG:{epsg}", "BBOX": boxes})
    return f"{address.url}?SERVICE=WFS&VERSION=2.0.0&REQUEST=GetFeature#{what}"


def links_of(source: Source, page: bytes) -> list[Link]:
    """Return the links to files that a page of insee.fr or a dataset's description holds."""
    if isinstance(source.address, InseePageAddress):
        return _insee_links(page.decode("utf-8", errors="replace"), f"{lookup_url(source)}")
    return _data_gouv_links(source, page)


def _insee_links(page: str, base: str) -> list[Link]:
    # Comments hold links that nobody sees.
    first, *others = page.split("<!--")
    seen = first + "".join(comment.partition("-->")[2] for comment in others)
    links = []
    for match in _ANCHOR.finditer(seen):
        href = unescape(match[1] or match[2] or match[3] or "").strip()
        # A link that is no address ("http://[") leads to no file.
        with suppress(ValueError):
            url = urljoin(base, href)
            if _INSEE_FILE.fullmatch(urlsplit(url).path):
                links.append(Link(name_in(url), name_in(url), url))
    return links


def _data_gouv_links(source: Source, page: bytes) -> list[Link]:
    try:
        resources = json.loads(page)["resources"]
        return [Link(name_in(entry["url"]), str(entry["title"] or ""), entry["url"]) for entry in resources]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceContentError(
            f"source {source.id}: {lookup_url(source)} was expected to describe a dataset in JSON, with a "
            f"list 'resources' of objects with 'title' and 'url' ({type(error).__name__}: {error}); "
            f"look at {source.page}, then correct 'address' in {catalogue_entry(source)}"
        ) from error


def name_in(url: str) -> str:
    """Return the name of the file that an address ends with."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def choose(source: Source, links: Iterable[Link]) -> Link:
    """Choose the source's file among a page's links, by the rule in the module's description.

    Raises `SourceContentError` if no link matches the declared pattern, or several do equally; the message
    lists the links seen. Raises `SourceUnavailableError` if no link matches, and the source is not required:
    pages lose such files, and the others are of use without them.
    """
    seen = list({link.url: link for link in links}.values())
    address = source.address
    pattern = address.pattern or "" if isinstance(address, (DataGouvAddress, InseePageAddress)) else ""
    found = [link for link in seen if re.fullmatch(pattern, link.name) or re.fullmatch(pattern, link.title)]
    best = min((_rank(source, link) for link in found), default=None)
    chosen = [link for link in found if _rank(source, link) == best]
    if len(chosen) == 1:
        return chosen[0]
    what = "no link matches" if not chosen else "several links match equally well"
    listed = ", ".join(sorted(link.name for link in chosen or seen)[:_LISTED]) or "no link to a file"
    message = (
        f"source {source.id}: {lookup_url(source)}: {what} the pattern '{pattern}'; seen: {listed}. Look at "
        f"{source.page}; if the file has another name, {_renamed(source, address)}"
    )
    if not chosen and not source.required:
        raise SourceUnavailableError(message, reason="la page de la source n'a plus de lien vers ce fichier")
    raise SourceContentError(message)


def _renamed(source: Source, address: Address) -> str:
    """Return the lines that declare another name of the file on its page."""
    known = {name: value for name, value in address.model_dump(exclude={"pattern"}).items() if value}
    entry = ", ".join(f"{name} = {json.dumps(value)}" for name, value in known.items())
    address_line = f"address = {{ {entry}, pattern = '<pattern of its name>' }}"
    return to_add(f"sources.{source.id}", f"{address_line}\n      hosts = {json.dumps(source.hosts)}")


def _rank(source: Source, link: Link) -> tuple[int, int]:
    """Return (0 declared format, 1 unsaid, 2 another; minus the version): the smallest is the best."""
    words = set(re.split(r"[^a-z0-9]+", link.name.lower())) & _FORMAT_WORDS
    # A table is read from an archive of CSV files before a workbook.
    declared = "csv" if source.format == "table" else source.format
    form = 1 if not words else 0 if declared in words else 2
    return form, -max((int(version) for version in _VERSION.findall(link.name)), default=0)
