"""Verification of a release: every rule, on every file of its kind."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic

from qpv_geo.audit.rules import files, geojson, geopackage, geopackage_geometry, qgis
from qpv_geo.audit.rules.base import File, Finding, Rule
from qpv_geo.errors import PublicationError


@dataclass(frozen=True)
class RuleSet(Generic[File]):
    """The rules of a kind of file, by the pattern of its paths, and how one is opened."""

    pattern: str
    opener: Callable[[Path], File]
    rules: tuple[Rule[File], ...]

    def findings(self, release: Path, *, quick: bool) -> list[Finding]:
        """Apply the rules to each file of a release that matches."""
        findings = []
        for path in sorted(release.glob(self.pattern)) if self.pattern != "." else [release]:
            name = path.relative_to(release).as_posix()
            with closing(self.opener(path)) as file:
                for rule in self.rules:
                    if not (quick and rule.slow):
                        findings += rule.findings(file, name)
        return findings


def _rules(module: ModuleType) -> tuple[Rule[Any], ...]:
    """Return the rules that a module defines, in its order."""
    return tuple(value for value in vars(module).values() if isinstance(value, Rule))


RULE_SETS: tuple[RuleSet[Any], ...] = (
    RuleSet(".", files.Folder, _rules(files)),
    RuleSet("geojson/*.geojson", geojson.Collection, _rules(geojson)),
    RuleSet(
        "*.gpkg",
        geopackage.GeoPackage,
        (*_rules(geopackage), *_rules(geopackage_geometry), qgis.default_styles, qgis.metadata),
    ),
    RuleSet("*.qgz", qgis.ProjectFile, (qgis.project_sources, qgis.project_tree, qgis.project_ids)),
)
"""All rules, by kind of file: those of QGIS are about two kinds."""


def verify_release(path: Path, *, quick: bool = False) -> list[Finding]:
    """Check a release and return every rule that it breaks.

    `quick` leaves out the slow rules: a refresh has just compared every value, ``releases verify`` has not.
    """
    if not path.is_dir():
        raise PublicationError(f"{path}: no release is there; `qpv-geo releases list` shows those that are")
    return [finding for rules in RULE_SETS for finding in rules.findings(path, quick=quick)]
