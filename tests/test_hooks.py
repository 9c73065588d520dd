"""People are told through Prefect's blocks, whatever happens to the message itself."""

import logging
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness
from prefect.variables import Variable

from flows.notifications import VARIABLE, Courriel, notify, notify_fallbacks
from flows.refresh import refresh
from flows.runs import notify_failure, sweep_leftovers
from qpv_geo.errors import SourceUnavailableError
from qpv_geo.lock import territory_lock
from qpv_geo.settings import Settings
from qpv_geo.sources.catalogue import Catalogue
from qpv_geo.sources.fetch import Policy, fall_back
from qpv_geo.territory import Territory
from tests.prefect_server import free_port
from tests.webhook import Webhook

HIDDEN = "jeton-de-la-ville"


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook that is configured as an administrator does."""
    with Webhook() as server:
        CustomWebhookNotificationBlock(
            name="essai",
            url=f"{server.url}/{{{{jeton}}}}",
            secrets={"jeton": HIDDEN},
            json_data={"subject": "{{subject}}", "body": "{{body}}"},
        ).save("essai", overwrite=True)
        Variable.set(VARIABLE, ["custom-webhook/essai"], overwrite=True)
        yield server
        Variable.unset(VARIABLE)


class Mail(socketserver.ThreadingTCPServer):
    """A mail server of this machine that takes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        super().__init__(("127.0.0.1", 0), _Smtp)


class _Smtp(socketserver.StreamRequestHandler):
    server: Mail

    def handle(self) -> None:
        self._say("220 essai")
        body = False
        for raw in self.rfile:
            line = raw.decode().rstrip("\r\n")
            self.server.lines.append(line)
            if body:
                if line == ".":
                    body = False
                    self._say("250 ok")
            elif line.upper() == "DATA":
                body = True
                self._say("354 go on")
            elif line.upper() == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 ok")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@flow(name="essai", on_failure=[notify_failure])
def failing(*, territory: str = "besancon") -> None:
    raise SourceUnavailableError(f"source x of {territory}: does not answer")


@flow(name="dehors", on_failure=[notify_failure])
def around() -> None:
    failing()


def test_nobody_is_told_by_default(caplog: pytest.LogCaptureFixture) -> None:
    notify("sujet", "corps")
    assert [record for record in caplog.records if record.name == "prefect.qpv_geo.notifications"] == []


def test_a_failure_is_told_with_its_reason(webhook: Webhook) -> None:
    assert failing(return_state=True).is_failed()
    (message,) = webhook.messages
    assert message["subject"] == "qpv-geo, besancon : échec (essai)"
    assert "source x of besancon: does not answer" in message["body"]
    assert message["path"] == f"/{HIDDEN}"


def test_a_territory_of_one_s_own_is_told_by_its_name(webhook: Webhook, tmp_path: Path) -> None:
    assert failing(territory=str(tmp_path / "mon-epci.toml"), return_state=True).is_failed()
    assert webhook.messages[0]["subject"] == "qpv-geo, mon-epci : échec (essai)"


def test_a_failure_within_another_run_is_told_once(webhook: Webhook) -> None:
    assert around(return_state=True).is_failed()
    assert [message["subject"] for message in webhook.messages] == ["qpv-geo : échec (dehors)"]


@pytest.mark.parametrize(
    "names",
    [
        ["custom-webhook/essai"],
        ["custom-webhook/absent"],
        ["sans-barre"],
        ["json/chiffre"],
        {"custom-webhook": "essai"},
        12,
    ],
    ids=["refused by the service", "no such block", "no block name", "no such type", "mapping", "number"],
)
def test_a_notification_that_fails_changes_nothing_and_hides_the_secret(
    webhook: Webhook, names: object, caplog: pytest.LogCaptureFixture
) -> None:
    webhook.status = 500
    Variable.set(VARIABLE, names, overwrite=True)
    with caplog.at_level(logging.DEBUG):
        state = failing(return_state=True)
    assert "does not answer" in (state.message or "")
    assert "no notification" in caplog.text
    told = [record.getMessage() for record in caplog.records if record.name.startswith("prefect")]
    assert HIDDEN not in "\n".join(told)


# Apprise imports it, on the Python versions that still have it.
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_mail_is_sent_through_the_project_s_own_block() -> None:
    with Mail() as mail:
        threading.Thread(target=mail.serve_forever, args=(0.01,), daemon=True).start()
        port = mail.server_address[1]
        address = f"mailto://127.0.0.1:{port}?from=qpv@ville.fr&to=sig@ville.fr&mode=insecure"
        Courriel(url=address).save("sig", overwrite=True)
        Variable.set(VARIABLE, ["courriel/sig"], overwrite=True)
        notify("qpv-geo : échec", "le site ne répond pas")
        Variable.unset(VARIABLE)
        mail.shutdown()
    text = "\n".join(mail.lines)
    assert "rcpt TO:<sig@ville.fr>" in text
    assert "le site ne r=C3=A9pond pas" in text


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_the_password_of_a_mail_server_that_is_away_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    address = f"mailto://agent:m0tdepasse@127.0.0.1:{free_port()}?from=qpv@ville.fr&to=sig@ville.fr"
    Courriel(url=address).save("sig", overwrite=True)
    Variable.set(VARIABLE, ["courriel/sig"], overwrite=True)
    with caplog.at_level(logging.DEBUG):
        notify("qpv-geo : échec", "le site ne répond pas")
    Variable.unset(VARIABLE)
    assert "no notification through courriel/sig" in caplog.text
    assert "m0tdepasse" not in caplog.text


def test_a_fallback_is_told_and_no_fallback_is_not(
    webhook: Webhook, besancon: Territory, catalogue: Catalogue, settings: Settings
) -> None:
    kept = fall_back(
        catalogue["qpv_2024"],
        besancon,
        settings,
        Policy(),
        SourceUnavailableError("source qpv_2024: refused", reason="site injoignable"),
    )
    notify_fallbacks(besancon, {"qpv_2024": kept, "cog_epci": None})
    (message,) = webhook.messages
    assert "copie" in message["subject"]
    assert "qpv_2024 (snapshot, 2026-01-15) : site injoignable" in message["body"]
    notify_fallbacks(besancon, {"cog_epci": None})
    assert len(webhook.messages) == 1
    # The list of copies is now empty: what was never replaced is not back either.
    assert kept
    live = replace(kept, reason="")
    notify_fallbacks(besancon, {"qpv_2024": live})
    assert len(webhook.messages) == 1
    notify_fallbacks(besancon, {"qpv_2024": kept})
    notify_fallbacks(besancon, {"qpv_2024": live})
    notify_fallbacks(besancon, {"qpv_2024": live})
    back = webhook.messages[2:]
    assert [message["subject"] for message in back] == ["qpv-geo, besancon : sources de nouveau disponibles"]
    assert back[0]["body"] == "- qpv_2024, 2026-01-15"


def test_leftovers_are_swept_unless_another_run_is_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "besancon"
    (folder / ".tmp-abandon").mkdir(parents=True)
    failing(return_state=True)
    with get_client(sync_client=True) as client:
        (run, *_) = client.read_flow_runs(limit=1)
    run.parameters = {"data": str(tmp_path)}
    with territory_lock(folder):
        sweep_leftovers(refresh, run, run.state)
        assert (folder / ".tmp-abandon").is_dir()
    sweep_leftovers(refresh, run, run.state)
    assert not (folder / ".tmp-abandon").exists()
