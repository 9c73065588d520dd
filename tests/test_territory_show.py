"""``territory show`` reads what a territory declares as a refresh does: the same files, the same errors."""

from collections.abc import Callable
from pathlib import Path

import pyogrio
import pytest
from shapely import box

from qpv_geo.commands.territory_files import show as show_territory
from qpv_geo.errors import QpvGeoError
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.settings import Settings, project_root
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import load_territory
from tests.command_line import Finished, qpv_geo_here
from tests.test_local_contours import districts

FRAGILE = ["Cité Viotte", "Cité des Vareilles"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the territory of Besançon and its two contour files."""
    root = project_root()
    assert root
    text = (root / "qpv_geo" / "territories" / "besancon.toml").read_text(encoding="utf-8")
    declared = '\n[{key}]\nchemin = "{key}.gpkg"\nmise_a_jour = 2025-01-31\n'
    for key, names in (
        ("quartiers_fichier", ["Battant", "Chaprais"]),
        ("quartiers_fragiles_fichier", FRAGILE),
    ):
        text += declared.format(key=key)
        pyogrio.write_dataframe(districts(nom=names), tmp_path / f"{key}.gpkg")
    (tmp_path / "ville.toml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


def show(folder: Path) -> Finished:
    return qpv_geo_here("territory", "show", folder / "ville.toml", "--data", folder / "data")


def redraw(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        frame = districts(nom=["Battant", "Chaprais"])
        (folder / "quartiers_fichier.gpkg").unlink()
        pyogrio.write_dataframe(frame.assign(**changes), folder / "quartiers_fichier.gpkg")

    return change


def remove(folder: Path) -> None:
    (folder / "quartiers_fichier.gpkg").unlink()


def cut(folder: Path) -> None:
    path = folder / "quartiers_fragiles_fichier.gpkg"
    path.write_bytes(path.read_bytes()[:5000])


def rename_fragile(folder: Path) -> None:
    path = folder / "quartiers_fragiles_fichier.gpkg"
    path.unlink()
    pyogrio.write_dataframe(districts(nom=["Cité Viotte", "Cité inconnue"]), path)


def spoil_both(folder: Path) -> None:
    redraw(nom=["=cmd", "Chaprais"])(folder)
    path = folder / "quartiers_fragiles_fichier.gpkg"
    path.unlink()
    pyogrio.write_dataframe(districts(nom=["Cité Viotte", "+1"]), path)


FAR = [box(924000, 6687000, 925000, 6688000), box(842000, 6519000, 843000, 6520000)]


def test_the_declared_files_are_read(folder: Path) -> None:
    done = show(folder)
    assert done.returncode == 0, done.stderr
    assert "quartiers_fichier.gpkg, 2 contours, 2025-01-31" in done.stdout
    assert "quartiers_fragiles_fichier.gpkg, 2 contours, 2025-01-31" in done.stdout


@pytest.mark.parametrize(
    ("spoil", "code", "part"),
    [
        (remove, 2, "'quartiers_fichier.chemin': no such file"),
        (cut, 3, "quartiers_fragiles_fichier.gpkg"),
        (redraw(nom=["=cmd", "Chaprais"]), 4, "a name that no spreadsheet takes for a formula; found '=cmd'"),
        (redraw(nom=["Battant", "Battant"]), 4, "expected one district per name"),
        (redraw(geometry=FAR), 4, "a contour within 1 km of Grand Besançon Métropole; found 1"),
        (rename_fragile, 4, "Cité inconnue"),
        (spoil_both, 4, "quartiers_fragiles_fichier.gpkg"),
    ],
    ids=["absent", "cut", "formula", "twice", "far", "unknown", "both"],
)
def test_what_stops_a_refresh_is_shown_before_it(
    spoil: Callable[[Path], None], code: int, part: str, folder: Path
) -> None:
    spoil(folder)
    settings = Settings(data_dir=folder / "data")
    with pytest.raises(QpvGeoError) as shown:
        show_territory(str(folder / "ville.toml"), data=settings.data_dir)
    job = Job(load_territory(str(folder / "ville.toml")), settings, Policy(offline=True))
    with pytest.raises(QpvGeoError) as refreshed:
        run(job)
    assert (shown.value.exit_code, str(shown.value)) == (refreshed.value.exit_code, str(refreshed.value))
    assert shown.value.exit_code == code
    assert part in str(shown.value)


def test_the_command_ends_with_the_code_of_the_error(folder: Path) -> None:
    cut(folder)
    done = show(folder)
    assert done.returncode == 3
    assert done.stderr.startswith("qpv-geo: source quartiers_fragiles_fichier: ")
    assert "Traceback" not in done.stderr


def test_a_source_that_is_ignored_is_not_read(folder: Path) -> None:
    remove(folder)
    path = folder / "ville.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text('sources_ignorees = ["quartiers_fichier"]\n' + text, encoding="utf-8")
    assert show(folder).returncode == 0
    path.write_text('sources_ignorees = ["qpv_2024"]\n' + text, encoding="utf-8")
    done = show(folder)
    assert done.returncode == 2
    assert "'sources_ignorees' names qpv_2024, and there is no release without it" in done.stderr


def test_without_known_communes_the_rest_is_checked(folder: Path) -> None:
    path = folder / "ville.toml"
    text = path.read_text(encoding="utf-8").replace('epci = "242500361"', 'epci = "200065647"')
    path.write_text(text, encoding="utf-8")
    redraw(geometry=FAR)(folder)
    done = show(folder)
    assert done.returncode == 0, done.stderr
    assert "compared with the communes at the first refresh" in done.stdout
    redraw(nom=["@x", "Chaprais"])(folder)
    assert show(folder).returncode == 4
