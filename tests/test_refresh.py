"""The whole job, end to end: on the snapshot, on the mirror, on official sites played by a local server."""

import hashlib
import shutil
from pathlib import Path

import geopandas as gpd
import pytest

from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import (
    LockedError,
    QpvGeoError,
    SourceUnavailableError,
)
from qpv_geo.lock import territory_lock
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import Outcome, run
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.releases.release import Release, current_release
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import load_catalogue
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory
from tests.country import publish_country
from tests.releases import digests
from tests.server import MAINTENANCE, OfficialSites

POPULATIONS = {
    "QN02502M": 3194,
    "QN02503M": 15603,
    "QN02504M": 1636,
    "QN02505M": 1502,
    "QN02515N": 1211,
    "QN02517N": 2481,
}
OFFLINE = Policy(offline=True)


def layer(outcome: Outcome, name: str) -> gpd.GeoDataFrame:
    return gpd.read_file(outcome.release.path / "qpv_besancon.gpkg", layer=name)


@pytest.fixture(scope="module")
def online_data(snapshot: Path, besancon: Territory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder after a run that reached all official sites."""
    data = tmp_path_factory.mktemp("online")
    with OfficialSites(snapshot) as sites:
        publish_country(sites)
        assert run(Job(besancon, Settings(data_dir=data, official_sites=sites.url))).release.published
    return data


@pytest.fixture
def before(live: Settings, besancon: Territory, sites: OfficialSites, online_data: Path) -> Release:
    """Return the release of that run, in the data folder of a test; the sites are as they were."""
    publish_country(sites)
    shutil.copytree(online_data, live.data_dir, symlinks=True)
    release = current_release(besancon.id, live)
    assert release
    return release


def test_offline_publishes_the_six_qpv_of_besancon(refreshed: Outcome) -> None:
    outcome = refreshed
    qpv = layer(outcome, "qpv").set_index("code_qp")
    assert qpv["population_municipale"].to_dict() == POPULATIONS
    assert qpv["population_municipale"].sum() == 25_627
    assert qpv.loc["QN02503M", ["lib_qp", "taux_pauvrete_60"]].tolist() == ["Planoise", 55]
    assert qpv["insee_com_calcule"].unique().tolist() == ["25056"]
    assert str(qpv.crs) == "EPSG:2154"

    contract = layer(outcome, "contrat_de_ville").set_index(["code_qp", "indicateur"])
    figures = contract.loc[("QN02502M", "taux_pauvrete_60"), ["valeur_contrat", "valeur_insee", "ecart"]]
    assert figures.tolist() == [46, 50, 4]

    assert {raw.origin for raw in outcome.raws.values() if raw} == {"snapshot"}
    assert "Données fournies" in outcome.release.origin
    assert verify_release(outcome.release.path) == []


def test_the_pieces_of_each_qpv_add_up_to_it(refreshed: Outcome) -> None:
    pieces = layer(refreshed, "qpv_commune")
    qpv = layer(refreshed, "qpv").set_index("code_qp")
    total = pieces.groupby("code_qp")["surface_m2"].sum()
    assert (total / qpv["surface_m2"]).tolist() == pytest.approx([1.0] * 6, rel=1e-6)
    clairs_soleil = pieces[pieces["code_qp"] == "QN02505M"].set_index("nom_com")
    assert clairs_soleil["membre"].to_dict() == {"Besançon": True, "Chalezeule": False}


def test_the_same_inputs_give_the_same_bytes(refreshed: Outcome, besancon: Territory, tmp_path: Path) -> None:
    first = refreshed.release
    second = run(Job(besancon, Settings(data_dir=tmp_path / "été à l'ombre"), OFFLINE)).release
    assert first.id == second.id
    assert digests(first.path) == digests(second.path)


def test_unchanged_inputs_publish_nothing(settings: Settings, besancon: Territory, offline: Release) -> None:
    ledger = offline.path.with_name("releases.json").read_bytes()
    again = run(Job(besancon, settings, OFFLINE)).release
    assert (offline.published, again.published) == (True, False)
    assert again.path == offline.path
    assert offline.path.with_name("releases.json").read_bytes() == ledger


def test_further_formats_make_another_release(
    settings: Settings, besancon: Territory, offline: Release
) -> None:
    job = Job(besancon, settings, OFFLINE, chosen_formats(["fgb", "xlsx"]))
    more = run(job).release
    assert more.published
    assert more.id != offline.id
    added = {path.name for path in more.path.rglob("*")} - {path.name for path in offline.path.rglob("*")}
    assert {"flatgeobuf", "qpv.fgb", "qpv_besancon.xlsx"} <= added
    assert verify_release(more.path) == []
    assert not run(job).release.published


def test_a_damaged_release_is_made_again(settings: Settings, besancon: Territory, offline: Release) -> None:
    intact = digests(offline.path)
    table = offline.path / "csv" / "qpv.csv"
    table.chmod(0o644)
    table.write_text("abîmé", encoding="utf-8")
    again = run(Job(besancon, settings, OFFLINE)).release
    assert again.published
    assert digests(again.path) == intact


def test_force_publishes_again(settings: Settings, besancon: Territory, offline: Release) -> None:
    intact = digests(offline.path)
    again = run(Job(besancon, settings, OFFLINE, force=True)).release
    assert digests(again.path) == intact


def test_the_mirror_confirms_the_national_counts(
    settings: Settings, besancon: Territory, mirror: Path
) -> None:
    outcome = run(Job(besancon, settings, Policy(mirror=str(mirror))))
    checks = layer(outcome, "controles").set_index("controle")["trouve"]
    assert checks["nombre_qpv_metropole"] == "1362"
    assert checks["nombre_qpv_departement"] == "17"
    assert checks["nombre_qpv_territoire"] == "6"
    qpv = layer(outcome, "qpv").set_index("code_qp")
    assert qpv["population_municipale"].to_dict() == POPULATIONS
    assert qpv.loc["QN02505M", "insee_com_calcule"] == "25056"
    sources = layer(outcome, "sources").set_index("source")
    assert sources.loc["qpv_2024", "origine"] == "mirror"
    archive = mirror / "anct" / "qpv-2024-geojson.zip"
    assert sources.loc["qpv_2024", "sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert verify_release(outcome.release.path) == []


def test_the_official_sites_are_asked_and_then_cost_headers_only(
    live: Settings, besancon: Territory, sites: OfficialSites
) -> None:
    publish_country(sites)
    # What these sites do not publish is asked for again at each run.
    catalogue = load_catalogue()
    absent = {source.id for source in catalogue.used() if not sites.publishes(source.id)}
    sources = tuple(source for source in catalogue.sources if source.id not in absent)
    job = Job(besancon, live, catalogue=catalogue.model_copy(update={"sources": sources}))

    first = run(job)
    origins = {raw.source.id: raw.origin for raw in first.raws.values() if raw}
    # Nobody knows an address of these.
    shipped = {source.id for source in sources if not source.hosts}
    assert {source_id for source_id, origin in origins.items() if origin == "snapshot"} <= shipped
    assert {
        source_id for source_id, origin in origins.items() if origin == "live"
    } == origins.keys() - shipped
    assert layer(first, "qpv")["population_municipale"].sum() == 25_627
    sites.requests.clear()

    again = run(job)
    assert not again.release.published
    assert sum(request.body for request in sites.requests if request.status == 200) == 0
    assert {request.status for request in sites.asked("fichier/8210600")} == {304}


def test_a_site_out_of_reach_leaves_the_last_good_copy(
    live: Settings, besancon: Territory, sites: OfficialSites, before: Release
) -> None:
    sites.misbehave("www.insee.fr", 503)
    again = run(Job(besancon, live))
    raw = again.raws["insee_population"]
    assert raw
    assert raw.origin == "store"
    assert "site injoignable" in raw.reason or "503" in raw.reason
    assert again.release.path == before.path


@pytest.mark.usefixtures("before")
def test_require_live_refuses_a_copy(live: Settings, besancon: Territory, sites: OfficialSites) -> None:
    sites.misbehave("www.insee.fr", 503)
    with pytest.raises(SourceUnavailableError, match=r"insee_population.*--require-live"):
        run(Job(besancon, live, Policy(require_live=True)))


def test_a_new_edition_is_published_beside_the_old_one(
    live: Settings, besancon: Territory, sites: OfficialSites, before: Release
) -> None:
    sites.publish("insee_population", sites.data("insee_population").replace(b"15603", b"15700"))
    second = run(Job(besancon, live))
    assert second.release.published
    assert second.release.path != before.path
    assert layer(second, "qpv")["population_municipale"].sum() == 25_724
    assert verify_release(before.path) == []


@pytest.mark.parametrize(
    ("source_id", "data"),
    [("qpv_2024", MAINTENANCE), ("insee_population", b"codeQPV;popMuniQPV\nQN02503M;-5\n")],
    ids=["not a file of its format", "breaks its contract"],
)
def test_a_bad_file_never_becomes_the_good_copy(
    live: Settings, besancon: Territory, sites: OfficialSites, before: Release, source_id: str, data: bytes
) -> None:
    """What else a bad file must not do is in the matrix of faults."""
    good = sites.data(source_id)
    sites.publish(source_id, data)
    with pytest.raises(QpvGeoError, match=source_id):
        run(Job(besancon, live))
    assert current_release(besancon.id, live) == before

    # The site is down now: what serves is the good copy, not the bad file.
    sites.misbehave("", 503)
    assert not run(Job(besancon, live)).release.published
    sites.behave()
    sites.publish(source_id, good)
    assert not run(Job(besancon, live)).release.published


def test_a_bad_file_of_an_optional_source_never_becomes_the_good_copy(
    live: Settings, besancon: Territory, sites: OfficialSites
) -> None:
    source_id = "insee_logement_social"
    publish_country(sites)
    sites.publish(source_id, b"CodGeo;Note;nbLsPls\nQN02502M;0;620\nQN02503M;0;5446\n")
    before = run(Job(besancon, live))
    good = before.raws[source_id]
    assert good
    assert good.sha256 in before.release.raw_files

    # Readable, and with a code that lost its zeros: only its contract finds it.
    sites.publish(source_id, b"CodGeo;Note;nbLsPls\nQN2502M;0;620\nQN02503M;0;5446\n")
    spoilt = run(Job(besancon, live))
    bad = spoilt.raws[source_id]
    assert bad
    assert spoilt.release.held
    assert bad.sha256 not in spoilt.release.raw_files

    sites.misbehave("", 503)
    after = run(Job(besancon, live))
    kept = after.raws[source_id]
    assert kept
    assert (kept.origin, kept.sha256) == ("store", good.sha256)
    assert after.release.id == before.release.id


def test_two_runs_at_a_time_are_refused(settings: Settings, besancon: Territory) -> None:
    with (
        territory_lock(settings.out_dir / besancon.id),
        pytest.raises(LockedError, match="another run holds the lock \\(process"),
    ):
        run(Job(besancon, settings, OFFLINE))
    assert run(Job(besancon, settings, OFFLINE)).release.published
