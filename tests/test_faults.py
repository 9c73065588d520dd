"""The matrix of faults, run: each ends as it should, and never damages what users have open.

Each case starts from a data folder that holds a good release, spoils one thing, runs the whole job, and
asserts its exit code, what its message says, that the release is the same byte for byte and still current,
and that the next good edition is published with nothing left behind.

``pytest -m matrix`` runs it; ``QPV_GEO_WRITE_DOCS=1 pytest -n 0 -m matrix`` writes the table of
``docs/fiabilite.md``.
"""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import QpvGeoError
from qpv_geo.lock import territory_lock
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.fetch import Policy
from tests.country import MEMBER, country, zipped
from tests.faults import disk, files, page, tls
from tests.faults.page import Row
from tests.faults.processes import together
from tests.faults.world import (
    SERVED,
    World,
    duplicate,
    new_edition,
    open_sites,
    quick,
    territory,
)
from tests.raw_files import set_property
from tests.releases import digests
from tests.server import MAINTENANCE

pytestmark = pytest.mark.matrix

REFUSED = "s'arrête et dit quoi faire ; la publication en cours ne change pas"
KEPT = "prend la dernière copie valide et le dit ; avec `--require-live`, s'arrête avec le code 3"
UNCHANGED = "rien à publier : la publication en cours reste"
PUBLISHED = "publie"

Spoil = Callable[[World, ExitStack], None]


@dataclass(frozen=True)
class Case:
    """One fault; `words` are in the error's message, or in the reason why a copy was used."""

    group: str
    name: str
    spoil: Spoil
    code: int
    words: tuple[str, ...]
    outcome: str = REFUSED


def sent(source: str, make: Callable[[], bytes]) -> Spoil:
    """Have a site send other bytes, with status 200 and in good order."""

    def spoil(world: World, _undo: ExitStack) -> None:
        world.sites.publish(source, make())

    return spoil


def served(
    where: str,
    how: str | int | bytes | dict[str, str],
    *,
    times: int | None = None,
    retry_after: str | None = None,
) -> Spoil:
    """Have a site misbehave."""

    def spoil(world: World, _undo: ExitStack) -> None:
        world.sites.misbehave(where, how, times=times, retry_after=retry_after)

    return spoil


def contours(change: files.Change) -> Spoil:
    return sent("qpv_2024", lambda: files.contours(change))


def csv(old: str, new: str) -> Spoil:
    return sent("insee_population", lambda: files.csv(lambda text: text.replace(old, new, 1)))


# ---------------------------------------------------------------- bad files

_ARCHIVE = "qpv_2024"
_POPULATION = "insee_population"
BAD_FILES = [
    (
        "une page HTML à la place des contours",
        sent(_ARCHIVE, lambda: MAINTENANCE),
        3,
        ("HTML", "maintenance"),
    ),
    ("une page HTML à la place du CSV", served("fichier/8210600", "html"), 3, (_POPULATION, "HTML")),
    ("un fichier vide", served("fichier/8210600", "empty"), 3, (_POPULATION, "empty")),
    ("un PDF à la place du CSV", sent(_POPULATION, lambda: b"%PDF-1.7\n"), 3, (_POPULATION, "a PDF")),
    ("une archive tronquée", sent(_ARCHIVE, lambda: zipped(country())[:-4000]), 3, (_ARCHIVE,)),
    ("un GeoJSON tronqué dans une archive entière", sent(_ARCHIVE, files.half_a_geojson), 3, ("truncated",)),
    (
        "une bombe de décompression",
        sent(_ARCHIVE, lambda: files.archive((MEMBER, b"{}"), zeros=64)),
        3,
        ("unpacks to", "the limit"),
    ),
    (
        "une archive sans le fichier attendu",
        sent(_ARCHIVE, lambda: zipped(country(), "AUTRE/fichier.geojson")),
        3,
        ("no member matches", "AUTRE/fichier.geojson"),
    ),
    (
        "une archive qui contient deux fois le fichier attendu",
        sent(_ARCHIVE, lambda: files.archive((MEMBER, b"{}"), (MEMBER, b"{}"))),
        3,
        (MEMBER,),
    ),
    (
        "une archive qui sort de son dossier",
        sent(_ARCHIVE, lambda: files.archive(("../../" + MEMBER, b"{}"))),
        3,
        ("refused", "../../"),
    ),
    (
        "une archive protégée par un mot de passe",
        sent(_ARCHIVE, files.with_encrypted_member),
        3,
        ("encrypt",),
    ),
    ("une colonne de contours renommée", contours(files.renamed("code_qp", "codeqp")), 4, ("'codeqp'",)),
    ("une colonne de contours absente", contours(files.renamed("siren_epci", None)), 4, ("'siren_epci'",)),
    (
        "une colonne de statistiques en double",
        sent(_POPULATION, lambda: b"codeQPV;popMuniQPV;popMuniQPV\nQN02503M;5;5\n"),
        4,
        ("'popMuniQPV' 2 times",),
    ),
    (
        "une colonne de statistiques renommée",
        csv("popMuniQPV", "POPULATION"),
        4,
        ("'popMuniQPV'", "'POPULATION'"),
    ),
    ("un QPV en double", contours(files.repeated), 4, ("appears once", "QN02503M")),
    ("un code en double dans les statistiques", csv("QN02504M", "QN02503M"), 4, ("appears once", "QN02503M")),
    (
        "des zéros initiaux perdus (contours)",
        contours(set_property("code_qp", "QN2503M", 1)),
        4,
        ("'QN2503M' (leading zeros lost)",),
    ),
    ("des zéros initiaux perdus (statistiques)", csv("QN02503M", "QN2503M"), 4, ("leading zeros lost",)),
    ("latitude et longitude interverties", contours(files.swapped), 4, ("axes swapped", "QN02502M")),
    (
        "un système de coordonnées faux",
        contours(files.with_crs("urn:ogc:def:crs:EPSG::2154")),
        4,
        ("from EPSG:2154",),
    ),
    ("un système de coordonnées non déclaré, en mètres", contours(files.in_metres), 4, ("metres in place",)),
    ("une couche vide", contours(files.without()), 4, ("an empty layer",)),
    ("plus aucun QPV à Besançon", contours(files.moved), 4, ("expected 6 QPV", "found 0")),
    ("cinq QPV au lieu de six", contours(files.without("QN02517N")), 4, ("expected 6 QPV", "found 5")),
    (
        "des lignes au lieu de surfaces",
        contours(files.with_geometry("LineString", [[6.01, 47.23], [6.02, 47.24]])),
        4,
        ("expected a polygon", "QN02503M"),
    ),
    (
        "un contour en nœud papillon",
        contours(files.with_geometry("Polygon", files.CORNERS)),
        4,
        ("Self-intersection", "QN02503M"),
    ),
    (
        "une coordonnée NaN",
        contours(files.with_longitude(float("nan"))),
        4,
        ("finite coordinates", "QN02504M"),
    ),
    ("une coordonnée infinie", contours(files.with_longitude(float("inf"))), 4, ("finite coordinates",)),
    ("un texte à la place d'un nombre", csv("15603", "environ 15000"), 4, ("'environ 15000' at line 3",)),
    ("« NaN » à la place d'un nombre", csv("15603", "NaN"), 4, ("'NaN' at line 3",)),
    ("un nombre d'habitants négatif", csv("15603", "-15603"), 4, ("at least 0", "'-15603'")),
    ("une commune de population négative", sent("communes_epci", files.negative_communes), 4, ("'-3'",)),
    (
        "un taux de 130 %",
        sent("insee_filosofi", lambda: files.poverty("130,0")),
        4,
        ("at most 100 %", "'130,0'"),
    ),
    (
        "un CSV d'un million de colonnes",
        sent(_POPULATION, lambda: b"codeQPV;popMuniQPV" + b";x" * 1_000_000 + b"\nQN02503M;5\n"),
        4,
        ("at most 5000 columns", "1000002"),
    ),
    (
        "un CSV réduit à son en-tête",
        sent(_POPULATION, lambda: b"codeQPV;popMuniQPV\n"),
        4,
        ("at least one row",),
    ),
    (
        "un guillemet jamais fermé",
        csv("QN02503M", '"QN02503M'),
        4,
        ("quotes are closed",),
    ),
    ("une ligne plus courte que l'en-tête", csv("QN02503M;", "QN02503M"), 4, ("cells in each row",)),
    *(
        (f"des crochets ouverts 200 000 fois ({what})", sent(source, make), 3, (source,))
        for what, source, make in (
            ("contours", _ARCHIVE, lambda: files.archive((MEMBER, b'{"features":' + b"[" * 200_000))),
            ("communes", "communes_epci", lambda: b'{"features":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
        )
    ),
    *(
        (f"une page de l'INSEE {what}", served("statistiques/8210600", page), 3, ("no link matches",))
        for what, page in (
            ("au HTML cassé", b"<![x[<!doctype [<a href='http://['>" + b"<a " * 100_000),
            ("d'un million de chevrons ouverts", b"<" * 1_000_000),
            ("dont les commentaires ne finissent pas", b"<!--" * 200_000),
        )
    ),
    ("le fichier des QPV de 2015", contours(files.of_2015), 4, ("2015 geography in place of 2024",)),
]


def too_large(world: World, _undo: ExitStack) -> None:
    catalogue = load_catalogue()
    small = [
        source.model_copy(update={"max_bytes": 90}) if source.id == _POPULATION else source
        for source in catalogue.sources
    ]
    world.changes["catalogue"] = catalogue.model_copy(update={"sources": tuple(small)})
    new_edition(world.sites, 15605)


# ---------------------------------------------------------------- the network


def with_settings(**changes: float) -> Spoil:
    def spoil(world: World, _undo: ExitStack) -> None:
        world.settings = replace(world.settings, **changes)

    return spoil


def both(*spoils: Spoil) -> Spoil:
    def spoil(world: World, undo: ExitStack) -> None:
        for each in spoils:
            each(world, undo)

    return spoil


def refused(world: World, _undo: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    world.settings = replace(world.settings, official_sites=f"http://127.0.0.1:{port}")


def without_names(world: World, undo: ExitStack) -> None:
    """Ask the real addresses, on a machine whose names cannot be looked up."""

    def fail(host: object, *_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {host!r}")

    patch = undo.enter_context(pytest.MonkeyPatch.context())
    patch.setattr(socket, "getaddrinfo", fail)
    world.settings = replace(world.settings, official_sites=None)


def untrusted(world: World, undo: ExitStack) -> None:
    mirror = undo.enter_context(tls.server(tls.certificate(world.scratch, "127.0.0.1")))
    world.policy = Policy(mirror=f"{mirror.url}/mirror", require_live=True)


_FILE = "fichier/8210600"
NETWORK = [
    ("connexion refusée", refused, "connexion à", KEPT),
    ("nom de domaine introuvable (DNS)", without_names, "connexion à", KEPT),
    ("connexion coupée au milieu du fichier", served(_FILE, "reset"), "interrompue", KEPT),
    ("connexion fermée sans réponse", served(_FILE, "down"), "interrompue", KEPT),
    (
        "aucune réponse",
        both(served(_FILE, "silent"), with_settings(read_timeout=0.3)),
        "ne répond pas",
        KEPT,
    ),
    (
        "un octet de temps en temps",
        both(served(_FILE, "drip"), with_settings(download_deadline=0.5)),
        "trop lent",
        KEPT,
    ),
    *(
        (what, both(served(_FILE, how), with_settings(download_deadline=0.5)), "", KEPT)
        for what, how in (
            ("des en-têtes octet par octet", "headers"),
            ("des réponses 103 sans fin", "interim"),
            ("une extension de morceau sans fin", "extensions"),
        )
    ),
    *(
        (f"réponse 503 avec `Retry-After: {shown}`", served(_FILE, 503, retry_after=value), "503", KEPT)
        for shown, value in (
            ("bientôt", "bientôt"),
            ("-1", "-1"),
            ("999…", "9" * 400),
            ("l'an 9999", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("l'an 1", "Mon, 01 Jan 0001 00:00:00 +2359"),
        )
    ),
    *(
        (f"`Last-Modified: {shown}`", served(_FILE, {"Last-Modified": value}), "", UNCHANGED)
        for shown, value in (
            ("hier", "hier à 5 h"),
            ("0", "0"),
            ("l'an 1", "Mon, 01 Jan 0001 00:00:00 +2359"),
        )
    ),
    *(
        (f"`ETag` {what}", served(_FILE, {"ETag": value}), "", UNCHANGED)
        for what, value in (
            ("au-delà de l'ASCII", '"édition"'),
            ("de dix mille caractères", f'"{"x" * 10_000}"'),
            ("vide", ""),
        )
    ),
    ("réponse 403", served(_FILE, 403), "403", KEPT),
    ("réponse 404", served(_FILE, 404), "404", KEPT),
    ("réponse 429, pause d'une heure demandée", served(_FILE, 429, retry_after="3600"), "429", KEPT),
    ("réponse 500", served(_FILE, 500), "500", KEPT),
    ("réponse 503 de tous les sites", served("", 503), "503", KEPT),
    ("redirection sans fin", served(_FILE, "loop"), "redirige sans fin", KEPT),
    (
        "réponse 429 avec `Retry-After`, puis le fichier",
        served(_FILE, 429, times=1, retry_after="0"),
        "",
        UNCHANGED,
    ),
    ("réponse 500, puis le fichier", served(_FILE, 500, times=1), "", UNCHANGED),
    ("réponse 503, puis le fichier", served(_FILE, 503, times=1), "", UNCHANGED),
    ("connexion coupée, puis le fichier", served(_FILE, "reset", times=1), "", UNCHANGED),
]
BAD_ANSWERS = [
    ("un fichier plus grand que la limite déclarée", too_large, ("'max_bytes'", "the limit is 90")),
    ("un corps sans fin", both(served(_FILE, "endless"), too_large), ("the limit is 90",)),
    ("une longueur annoncée d'un téraoctet", served(_FILE, "huge"), ("declares 1,099,511,627,776 bytes",)),
    ("moins d'octets qu'annoncé, à chaque essai", served(_FILE, "truncated"), ("cut short at each attempt",)),
    ("plus d'octets qu'annoncé", served("static.data.gouv.fr", "short"), (_ARCHIVE,)),
    ("la moitié d'une archive, sans longueur annoncée", served("static.data.gouv.fr", "cut"), (_ARCHIVE,)),
    (
        "un transfert compressé sans qu'on l'ait demandé",
        served(_FILE, "encoded"),
        ("Content-Encoding 'gzip'",),
    ),
    (
        "redirection vers un hôte que le catalogue ne nomme pas",
        served(_FILE, "elsewhere"),
        ("leads to https://example.org",),
    ),
    ("redirection de https vers http", served(_FILE, "downgrade"), ("leads to http://www.insee.fr",)),
    (
        "redirection vers un nom qui commence par un tiret bas",
        served(_FILE, "underscore"),
        ("leads to https://_depot.insee.fr",),
    ),
    ("redirection vers ce qui n'est pas une adresse", served(_FILE, "malformed"), (_POPULATION,)),
    ("redirection vers une adresse avec mot de passe", served(_FILE, "credentials"), ("may be asked",)),
    ("certificat non reconnu (avec `--require-live`)", untrusted, ("CERTIFICATE_VERIFY_FAILED",)),
]

# ---------------------------------------------------------------- the disk


def full(where: Callable[[World], Path], share: float) -> Spoil:
    """Leave room for part of what a run writes; `share` is relative to the size of a release."""

    def spoil(world: World, undo: ExitStack) -> None:
        size = sum(path.stat().st_size for path in world.previous.rglob("*") if path.is_file())
        filler = world.end.enter_context(disk.small_disk(where(world), int(share * size)))
        undo.callback(filler.unlink)
        new_edition(world.sites, 15605)

    return spoil


def out(world: World) -> Path:
    return world.data / "out"


def store(world: World) -> Path:
    return world.data / "raw" / "store"


def read_only(where: Callable[[World], Path]) -> Spoil:
    def spoil(world: World, undo: ExitStack) -> None:
        undo.enter_context(disk.read_only(where(world)))
        new_edition(world.sites, 15605)

    return spoil


def forbidden(where: Callable[[World], Path], bits: int) -> Spoil:
    def spoil(world: World, undo: ExitStack) -> None:
        undo.enter_context(disk.mode(where(world), bits))
        new_edition(world.sites, 15605)

    return spoil


DISK = [
    ("disque plein dès le verrou", full(out, 0), 5, ("No space left",)),
    *(
        (
            f"disque plein à {share * 100:.0f} % de l'écriture d'une publication",
            full(out, share),
            5,
            ("free space",),
        )
        for share in (0.02, 0.2, 0.4, 0.6, 0.8, 0.95)
    ),
    ("disque plein à l'arrivée d'un fichier", full(store, 0), 2, ("No space left", "--data")),
    ("dossier des publications en lecture seule", read_only(out), 5, ("Read-only file system",)),
    ("dossier des originaux en lecture seule", read_only(store), 2, ("Read-only file system", "--data")),
    (
        "pas le droit d'écrire les publications",
        forbidden(lambda w: w.folder, 0o555),
        5,
        ("Permission denied",),
    ),
    (
        "pas le droit d'écrire les originaux",
        forbidden(lambda w: w.store / _POPULATION, 0o555),
        2,
        ("Permission denied", "--data"),
    ),
]

# ---------------------------------------------------------------- what was kept, and what is published


def kept(world: World) -> Path:
    """Return the folder of the kept copy of the populations."""
    (metadata,) = (world.store / _POPULATION).glob("*/_raw.json")
    return metadata.parent


def damaged_copy(change: Callable[[bytes], bytes], *, down: bool) -> Spoil:
    def spoil(world: World, _undo: ExitStack) -> None:
        (path,) = kept(world).glob("*.csv")
        path.write_bytes(change(path.read_bytes()))
        if down:
            world.sites.misbehave("www.insee.fr", 503)

    return spoil


def damaged_metadata(text: str, *, down: bool) -> Spoil:
    def spoil(world: World, _undo: ExitStack) -> None:
        (kept(world) / "_raw.json").write_text(text, encoding="utf-8")
        if down:
            world.sites.misbehave("www.insee.fr", 503)

    return spoil


def edited_metadata(**changes: str) -> Spoil:
    def spoil(world: World, _undo: ExitStack) -> None:
        path = kept(world) / "_raw.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | changes), encoding="utf-8")

    return spoil


def unreadable_copy(world: World, undo: ExitStack) -> None:
    (path,) = kept(world).glob("*.csv")
    undo.enter_context(disk.mode(path, 0o000))
    world.sites.misbehave("www.insee.fr", 503)


def latest_replaced(make: Callable[[World], None]) -> Spoil:
    def spoil(world: World, undo: ExitStack) -> None:
        target = world.latest.readlink()
        world.latest.unlink()
        make(world)

        def restore() -> None:
            if world.latest.is_dir() and not world.latest.is_symlink():
                shutil.rmtree(world.latest)
            else:
                world.latest.unlink()
            world.latest.symlink_to(target)

        undo.callback(restore)
        new_edition(world.sites, 15605)

    return spoil


def locked(world: World, undo: ExitStack) -> None:
    undo.enter_context(territory_lock(world.folder))


# ---------------------------------------------------------------- all of them

CASES = [
    *(Case("Fichiers reçus", name, spoil, code, words) for name, spoil, code, words in BAD_FILES),
    *(
        Case("Réseau", name, spoil, 0, (words,) if words else (), outcome)
        for name, spoil, words, outcome in NETWORK
    ),
    *(Case("Réseau", name, spoil, 3, words) for name, spoil, words in BAD_ANSWERS),
    *(Case("Disque", name, spoil, code, words) for name, spoil, code, words in DISK),
    Case(
        "Copies gardées et publications",
        "original gardé altéré, site en panne",
        damaged_copy(lambda data: data.replace(b"3194", b"3195"), down=True),
        0,
        ("503", "altéré"),
        SNAPSHOT := "écarte la copie, prend l'extrait fourni et le dit",
    ),
    Case(
        "Copies gardées et publications",
        "original gardé tronqué, site en panne",
        damaged_copy(lambda data: data[:50], down=True),
        0,
        ("altéré",),
        SNAPSHOT,
    ),
    Case(
        "Copies gardées et publications",
        "description d'un original illisible, site en panne",
        damaged_metadata('{"source": ', down=True),
        0,
        ("description illisible",),
        SNAPSHOT,
    ),
    Case(
        "Copies gardées et publications",
        "original gardé altéré, site en état",
        damaged_copy(lambda data: data[:50], down=False),
        0,
        (),
        UNCHANGED,
    ),
    Case(
        "Copies gardées et publications",
        "description d'un original illisible, site en état",
        damaged_metadata("", down=False),
        0,
        (),
        UNCHANGED,
    ),
    *(
        Case(
            "Copies gardées et publications",
            f"description d'un original {what}, site {'en panne' if down else 'en état'}",
            damaged_metadata(text, down=down),
            0,
            ("description illisible",) if down else (),
            SNAPSHOT if down else UNCHANGED,
        )
        for what, text in (
            ("réduite à une liste", "[]"),
            ("réduite à un nombre", "12"),
            ("aux crochets sans fin", "[" * 100_000),
        )
        for down in (True, False)
    ),
    *(
        Case(
            "Copies gardées et publications",
            f"{what} gardé illisible",
            edited_metadata(**change),
            0,
            (),
            UNCHANGED,
        )
        for what, change in (
            ("`ETag`", {"etag": '"édition\x80"'}),
            ("`ETag` sur deux lignes", {"etag": "a\nb"}),
        )
    ),
    Case(
        "Copies gardées et publications",
        "pas le droit de lire un original gardé, site en panne",
        unreadable_copy,
        0,
        ("illisible",),
        SNAPSHOT,
    ),
    Case(
        "Copies gardées et publications",
        "`latest` remplacé par un dossier",
        latest_replaced(lambda world: shutil.copytree(world.previous, world.latest) and None),
        5,
        ("found a folder", "Move it away"),
    ),
    Case(
        "Copies gardées et publications",
        "`latest` remplacé par un fichier",
        latest_replaced(lambda world: world.latest.write_text("x") and None),
        5,
        ("found a file", "Move it away"),
    ),
    Case(
        "Copies gardées et publications",
        "une autre exécution tient le verrou",
        locked,
        6,
        ("another run holds the lock", "--wait"),
    ),
]
_IDS = [case.name for case in CASES]
_seen: dict[str, Row] = {}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with a good release, made once."""
    data = tmp_path_factory.mktemp("base") / "data"
    with open_sites() as sites:
        release = run(Job(territory(), quick(data, sites))).release
    assert release.published
    assert verify_release(release.path) == []
    return data


@pytest.fixture
def world(base: Path, tmp_path: Path) -> Iterator[World]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open_sites() as sites, ExitStack() as end:
        found = World(duplicate(base, tmp_path / "data"), sites, scratch)
        found.end = end
        yield found


@pytest.mark.parametrize("case", CASES, ids=_IDS)
def test_a_fault_damages_nothing(world: World, case: Case) -> None:
    good = {source: world.sites.data(source) for source in SERVED}
    with ExitStack() as undo:
        case.spoil(world, undo)
        code = ends_as_it_should(world, case)
    world.sites.behave()
    for source, data in good.items():
        if world.sites.data(source) != data:
            world.sites.publish(source, data)
    world.assert_publishes()
    _seen[case.name] = Row(case.group, case.name, code, case.outcome)


def ends_as_it_should(world: World, case: Case) -> int:
    """Run the whole job; return the exit code."""
    if case.code:
        with pytest.raises(QpvGeoError) as caught:
            world.run()
        assert caught.value.exit_code == case.code, caught.value
        for words in case.words:
            assert words in str(caught.value)
        assert "Traceback" not in str(caught.value)
        if "found a f" not in str(caught.value):  # `latest` is what was replaced
            world.assert_untouched()
        assert digests(world.previous) == world.before
        return int(caught.value.exit_code)
    outcome = world.run()
    reasons = " ".join(raw.reason for raw in outcome.raws.values() if raw and raw.reason)
    for words in case.words:
        assert words in reasons
    if case.outcome == SNAPSHOT:
        raw = outcome.raws[_POPULATION]
        assert raw
        assert raw.origin == "snapshot"
        assert digests(world.previous) == world.before
        return 0
    assert not outcome.release.published
    world.assert_untouched()
    assert bool(reasons) == (case.outcome == KEPT)
    if case.outcome == KEPT:
        assert {raw.origin for raw in outcome.raws.values() if raw and raw.reason} == {"store"}
        world.policy = Policy(require_live=True)
        with pytest.raises(QpvGeoError, match="--require-live forbids") as caught:
            world.run()
        assert caught.value.exit_code == 3
        world.assert_untouched()
    return 0


# ---------------------------------------------------------------- runs that differ from the others

# What the files of a release become.
DAMAGES = {
    "`rapport.json` réduit à une liste": ("rapport.json", "[]"),
    "`rapport.json` aux crochets sans fin": ("rapport.json", "[" * 100_000),
    "`datapackage.json` réduit à un nombre": ("datapackage.json", "12"),
    "`datapackage.json` sans ses sources": ("datapackage.json", '{"version": "x"}'),
}
# What an account may not, the exit code and what is said.
LIMITS: dict[str, tuple[dict[int, int], int, str, str]] = {
    "fichiers limités à 4 Kio (`ulimit -f`)": (
        {resource.RLIMIT_FSIZE: 4096},
        5,
        "cannot be written",
        REFUSED,
    ),
    "trop peu de mémoire pour commencer (`ulimit -v`)": (
        {resource.RLIMIT_AS: 300 << 20},
        1,
        "not enough memory",
        REFUSED,
    ),
    "trop peu de mémoire pour finir (`ulimit -v`)": (
        {resource.RLIMIT_AS: 600 << 20},
        1,
        "not enough memory",
        REFUSED,
    ),
    "huit fichiers ouverts au plus (`ulimit -n`)": (
        {resource.RLIMIT_NOFILE: 8},
        1,
        "Too many open files",
        REFUSED,
    ),
    "un dossier personnel qui n'existe pas": ({}, 0, "", PUBLISHED),
}

EXTRA = [
    *(
        Row(
            "Exécutions",
            f"{count} exécutions au même moment",
            6,
            "une seule publie, les autres s'arrêtent : verrou pris",
        )
        for count in (2, 10)
    ),
    Row(
        "Exécutions",
        "horloge reculée de plusieurs années",
        0,
        "publie ; la copie reçue en dernier reste la dernière",
    ),
    Row("Exécutions", "dossier nommé avec des espaces, des accents et une apostrophe", 0, PUBLISHED),
    Row("Exécutions", "CSV en Windows-1252", 0, "publie, et le dit dans les contrôles"),
    Row("Exécutions", "CSV avec marque d'ordre des octets (BOM)", 0, PUBLISHED),
    Row(
        "Exécutions",
        "fichier de la publication en cours tronqué ou ajouté",
        0,
        "refait la publication, octet pour octet",
    ),
    *(Row("Exécutions", what, 0, "refait la publication, octet pour octet") for what in DAMAGES),
    Row("Exécutions", "`latest` ne mène nulle part", 0, "remet le lien"),
    Row("Exécutions", "`latest` mène à lui-même", 0, "remet le lien"),
    *(Row("Compte et machine", what, code, outcome) for what, (_, code, _, outcome) in LIMITS.items()),
    Row(
        "Compte et machine",
        "processus tué (`kill -9`)",
        0,
        "la commande suivante efface ses fichiers temporaires",
    ),
]
_ROWS = {row.case: row for row in EXTRA}


def seen(case: str) -> None:
    _seen[case] = _ROWS[case]


@pytest.mark.parametrize("count", [2, 10])
def test_of_runs_at_once_one_publishes(world: World, count: int) -> None:
    new_edition(world.sites, 15605)
    ends = together(count, world.settings, world.scratch)
    assert len([end for end in ends if end.startswith("0 True")]) == 1
    late = [end for end in ends if not end.startswith("0 ")]
    assert all(end.startswith("6 ") and "another run holds the lock" in end for end in late)
    assert len(late) >= 1
    assert digests(world.previous) == world.before
    assert world.latest.resolve() != world.previous
    world.assert_publishes()
    seen(f"{count} exécutions au même moment")


def test_a_clock_set_back_does_not_bring_an_older_copy_back(world: World) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=3650)).isoformat()
    for path in world.store.rglob("_raw.json"):
        written = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(written | {"accepted_at": ahead, "retrieved_at": ahead}), encoding="utf-8")
    for path in (world.data, *world.data.rglob("*")):
        os.utime(path, (2e9, 2e9), follow_symlinks=False)
    world.assert_publishes(15605)
    published = world.latest.resolve()
    world.sites.misbehave("", 503)
    again = world.run_well()
    assert not again.release.published
    assert again.release.path == published
    seen("horloge reculée de plusieurs années")


def test_a_folder_may_have_any_name(base: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open_sites() as sites:
        world = World(duplicate(base, tmp_path / "L'été à Besançon, données"), sites, scratch)
        new_edition(sites, -1)
        with pytest.raises(QpvGeoError, match="at least 0"):
            world.run()
        world.assert_untouched()
        world.assert_publishes()
    seen("dossier nommé avec des espaces, des accents et une apostrophe")


@pytest.mark.parametrize(
    ("case", "make", "remark"),
    [
        ("CSV en Windows-1252", files.in_windows_1252, "Windows-1252"),
        ("CSV avec marque d'ordre des octets (BOM)", files.with_bom, ""),
    ],
)
def test_an_unusual_file_is_read(world: World, case: str, make: Callable[[], bytes], remark: str) -> None:
    world.sites.publish(_POPULATION, make())
    outcome = world.run()
    assert outcome.release.published
    assert remark in (outcome.release.path / "csv" / "controles.csv").read_text(encoding="utf-8-sig")
    assert digests(world.previous) == world.before
    world.assert_publishes()
    seen(case)


def test_a_release_that_was_damaged_is_made_again(world: World) -> None:
    table = world.previous / "csv" / "qpv.csv"
    table.chmod(0o644)
    table.write_bytes(table.read_bytes()[:-10])
    (world.previous / "notes de l'agent.txt").write_text("à voir")
    outcome = world.run()
    assert outcome.release.published
    assert digests(world.previous) == world.before
    world.assert_publishes()
    seen("fichier de la publication en cours tronqué ou ajouté")


@pytest.mark.parametrize("what", DAMAGES)
def test_a_release_whose_description_was_damaged_is_made_again(world: World, what: str) -> None:
    name, text = DAMAGES[what]
    (world.previous / name).chmod(0o644)
    (world.previous / name).write_text(text, encoding="utf-8")
    assert world.run().release.published
    assert digests(world.previous) == world.before
    world.assert_publishes()
    seen(what)


@pytest.mark.parametrize("what", LIMITS)
def test_what_an_account_may_not_is_one_sentence(world: World, what: str) -> None:
    limits, code, words, _ = LIMITS[what]

    def limit() -> None:
        for kind, most in limits.items():
            resource.setrlimit(kind, (most, most))

    new_edition(world.sites, 15605)
    done = subprocess.run(
        [sys.executable, "-m", "qpv_geo", "refresh", "--offline", "--force", "-q", "--data", world.data],
        env=os.environ | {"HOME": "/nonexistent", "PREFECT_HOME": ""},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == bool(code)
    if code:
        world.assert_untouched()
        world.assert_publishes()
    seen(what)


def test_what_a_killed_command_left_is_removed_by_the_next_one(world: World) -> None:
    def command(*arguments: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "qpv_geo", *arguments, "--data", str(world.data)]
        return subprocess.Popen(words, env=os.environ | {"TMPDIR": str(world.scratch)})

    killed = command("refresh", "--offline", "--force", "-q")
    while not (left := [*world.scratch.glob("qpv_geo-*")]) and killed.poll() is None:
        time.sleep(0.001)
    killed.kill()
    killed.wait()
    assert left
    os.utime(left[0], (1e9, 1e9))
    assert command("releases", "list", "-q").wait() == 0
    assert [*world.scratch.glob("qpv_geo-*")] == []
    world.assert_publishes()
    seen("processus tué (`kill -9`)")


@pytest.mark.parametrize(
    ("target", "what"),
    [("2020-01-01-0123456789", "`latest` ne mène nulle part"), ("latest", "`latest` mène à lui-même")],
)
def test_a_link_that_leads_nowhere_is_mended(world: World, target: str, what: str) -> None:
    world.latest.unlink()
    world.latest.symlink_to(target)
    outcome = world.run()
    assert outcome.release.published
    world.assert_untouched()
    world.assert_publishes()
    seen(what)


def test_the_page_is_what_was_tried() -> None:
    """Last of the module: it writes what was seen when asked to, else compares."""
    rows = [Row(case.group, case.name, case.code, case.outcome) for case in CASES] + EXTRA
    assert len({row.case for row in rows}) == len(rows) >= 40
    if os.environ.get("QPV_GEO_WRITE_DOCS"):
        missing = [row.case for row in rows if row.case not in _seen]
        assert missing == [], "only a run of the whole file, in one process, may write the page"
        page.rewrite(page.render(_seen[row.case] for row in rows))
    # What this process saw is what is declared; a page that lacks a case, or tells another outcome, differs.
    assert [_seen.get(row.case, row) for row in rows] == rows
    assert page.written() != page.render(rows[:-1])
    assert page.written() != page.render([replace(rows[0], code=0), *rows[1:]])
    assert page.written() == page.render(rows), (
        "run `QPV_GEO_WRITE_DOCS=1 pytest -n 0 -m matrix` and commit docs/fiabilite.md"
    )
