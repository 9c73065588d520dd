"""Verification of a release: every rule of `rules`, on every file."""

from collections.abc import Iterable
from pathlib import Path

from qpv_geo.audit.rules import files, geojson, geopackage, geopackage_geometry, qgis
from qpv_geo.audit.rules.base import Finding, Rule, Subject
from qpv_geo.errors import PublicationError


def verify_release(path: Path, *, quick: bool = False) -> list[Finding]:
    """Check a release and return every rule that it breaks.

    Parameters
    ----------
    path
        Its folder.
    quick
        Leave out the slow rules: frictionless takes 0.4 s for the six QPV of Besançon, the others together a
        tenth of it. A refresh is quick, having compared every value just before; ``releases verify`` is not.

    Returns
    -------
    list of Finding
        Empty for a sound release.

    Raises
    ------
    PublicationError
        If there is no such folder.
    """
    if not path.is_dir():
        raise PublicationError(f"{path}: no release is there; `qpv-geo releases list` shows those that are")
    findings = _apply(files.RULES, files.Folder(path), ".", files.UNREADABLE, quick=quick)
    for file in sorted(path.glob("geojson/*.geojson")):
        name = file.relative_to(path).as_posix()
        collection = geojson.Collection(file)
        findings += _apply(geojson.RULES, collection, name, geojson.UNREADABLE, quick=quick)
    for file in sorted(path.glob("*.gpkg")):
        rules = (*geopackage.RULES, *geopackage_geometry.RULES, *qgis.PACKAGE_RULES)
        with geopackage.opened(file) as package:
            findings += _apply(rules, package, file.name, geopackage.UNREADABLE, quick=quick)
    for file in sorted(path.glob("*.qgz")):
        findings += _apply(
            qgis.PROJECT_RULES, qgis.ProjectFile(file), file.name, qgis.UNREADABLE, quick=quick
        )
    return findings


def _apply(
    rules: Iterable[Rule[Subject]],
    subject: Subject,
    file: str,
    unreadable: tuple[type[Exception], ...],
    *,
    quick: bool,
) -> list[Finding]:
    return [
        finding
        for rule in rules
        if not (quick and rule.slow)
        for finding in rule.findings(subject, file, unreadable)
    ]
