"""What tests of pages in a real browser share: the browser, its tabs, folders of pages."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from playwright.sync_api import Page

from qpv_geo.formats.frames import Frames
from qpv_geo.ingest.registry import Registry
from tests.portraying import portray
from tests.publishing import REGISTRY

# Nothing of the browser itself asks the network either.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
CODES = ("QN02502M", "QN02503M", "QN02504M", "QN02505M", "QN02515N", "QN02517N")
FILES = ("qpv_besancon.gpkg", "csv/qpv.csv", "geojson/qpv.geojson", "rapport.html")

# What was pressed begins with the next frames; a map that is drawn alike for longer than it moves is still.
_STILL = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    const pause = () => new Promise(done => setTimeout(done, 400));
    const drawn = () => JSON.stringify(
        [...document.querySelectorAll('#carte-territoire path')].map(path => path.getBoundingClientRect()));
    await frame();
    await frame();
    let before;
    do {
        before = drawn();
        await pause();
        await frame();
    } while (drawn() !== before);
}"""


def wait_for_map(page: Page) -> None:
    """Wait until the map of the index has finished to zoom or to pan, however slow the machine."""
    page.evaluate(_STILL)


@dataclass
class Tab:
    """A page of the browser, and everything that it said or asked for."""

    page: Page
    folder: Path
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, stem: str) -> Page:
        self.page.goto((self.folder / "portraits" / f"{stem}.html").as_uri())
        if stem == "index":
            self.page.wait_for_selector("#carte-territoire[data-pret=oui]")
        return self.page

    @property
    def shown(self) -> str:
        """The page that it is on."""
        return Path(unquote(self.page.url)).stem


def write(base: Path, frames: Frames, registry: Registry = REGISTRY) -> Path:
    """Write pages into a folder as people name theirs."""
    folder = base / "Réseau partagé" / "Contrat de ville n° 2 (été)"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x" * 3000)
    portray(folder, frames, registry, files=FILES)
    return folder
