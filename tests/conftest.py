"""Fixtures that every test may use."""

from pathlib import Path

import pytest

from qpv_geo.settings import Settings, project_root
from qpv_geo.sources.catalogue import Catalogue, load_catalogue
from qpv_geo.territory import Territory, load_territory

_ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def mirror() -> Path:
    """Folder of real data laid out as the official sites lay it out, beside the checkout if at all."""
    folder = _ROOT.parent / "shared" / "mirror"
    if not folder.is_dir():
        pytest.skip("needs the mirror of real data: put it in ../shared/mirror, beside the checkout")
    return folder


@pytest.fixture(scope="session")
def snapshot() -> Path:
    """Folder of the shipped Besançon originals."""
    return _ROOT / "data" / "raw" / "snapshot"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a run whose data folder is empty, whose retries do not wait and which asks no real site."""
    assert project_root() == _ROOT, "tests run on the checkout, not on an installed copy"
    return Settings(data_dir=tmp_path / "data", backoff=0.001)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return the shipped catalogue."""
    return load_catalogue()


@pytest.fixture(scope="session")
def besancon() -> Territory:
    """Return the shipped territory."""
    return load_territory("besancon")
