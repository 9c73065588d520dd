"""All territories on a real Dask cluster of several processes, one of which is killed on the way."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from prefect.testing.utilities import prefect_test_harness

from flows import all_territories
from flows.all_territories import DASK, chosen_runner, refresh_all, results_listener
from qpv_geo.audit.verify import verify_release
from qpv_geo.errors import ConfigurationError
from qpv_geo.pipeline.many import National, Result, territories_of
from qpv_geo.releases.release import current_release
from qpv_geo.settings import Settings
from qpv_geo.territory import Territory

# Pontarlier, Ajaccio, Saint-Dié in Lambert-93, and CINOR on La Réunion in the projection of the island.
CHOSEN = ("242500338", "242010056", "200071066", "249740119")


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep four territories of three hundred, each a task of its own."""

    def few(national: National) -> list[Territory]:
        return [territory for territory in territories_of(national) if territory.code in CHOSEN]

    monkeypatch.setattr(all_territories, "territories_of", few)
    monkeypatch.setattr(all_territories, "_PER_TASK", 1)


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def test_a_worker_that_is_killed_costs_no_territory(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path / "dask")
        ) as cluster,
        Client(cluster) as client,
    ):
        monkeypatch.setenv(DASK, cluster.scheduler_address)

        def kill(_: Result, __: int) -> None:
            if not killed:
                killed.append(max(client.run(os.getpid).values()))
                os.kill(killed[0], signal.SIGKILL)

        token = results_listener.set(kill)
        try:
            flow = refresh_all.with_options(task_runner=chosen_runner())
            rows = flow(mirror=str(mirror), data=str(tmp_path / "data"), pages=False)
        finally:
            results_listener.reset(token)
    assert killed
    assert {row["epci"] for row in rows} == set(CHOSEN)
    assert {row["exit_code"] for row in rows} == {0}
    for row in rows:
        release = current_release(row["territory"], Settings(data_dir=tmp_path / "data"))
        assert release is not None
        assert verify_release(release.path) == []


@pytest.mark.parametrize("where", ["here", "local:", "local:0", "local:many"])
def test_a_cluster_that_is_not_understood_is_refused(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DASK, where)
    with pytest.raises(ConfigurationError, match="local:4"):
        chosen_runner()
