"""Verification of a release: every rule, on every file of its kind."""

from contextlib import closing
from pathlib import Path

from qpv_geo.audit.rules import files, geojson, geopackage, qgis
from qpv_geo.audit.rules.base import CheckedFile, Finding
from qpv_geo.errors import PublicationError

KINDS: tuple[type[CheckedFile], ...] = (
    files.Folder,
    geojson.Collection,
    geopackage.GeoPackage,
    qgis.ProjectFile,
)
"""All kinds of files, with their rules."""


def verify_release(path: Path, *, quick: bool = False) -> list[Finding]:
    """Check a release and return every rule that it breaks.

    `quick` leaves out the slow rules: a refresh has just compared every value, ``releases verify`` has not.
    """
    if not path.is_dir():
        raise PublicationError(f"{path}: no release is there; `qpv-geo releases list` shows those that are")
    findings = []
    for kind in KINDS:
        for each in sorted(path.glob(kind.pattern)) if kind.pattern else [path]:
            with closing(kind(each)) as file:
                for rule in kind.rules:
                    if not (quick and rule.slow):
                        findings += rule.findings(file, each.relative_to(path).as_posix())
    return findings
