"""Verification of a release: every rule, on every file of its kind."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
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


RULE_SETS: tuple[RuleSet[Any], ...] = (
    RuleSet(
        ".",
        files.Folder,
        (
            files.checksums,
            files.nothing_else,
            files.report_schema,
            files.same_rows,
            files.spreadsheet,
            files.data_package,
        ),
    ),
    RuleSet(
        "geojson/*.geojson",
        geojson.Collection,
        (
            geojson.is_collection,
            geojson.no_crs,
            geojson.feature_members,
            geojson.longitudes_and_latitudes,
            geojson.rings,
            geojson.right_hand,
            geojson.bounding_box,
            geojson.valid_polygons,
            geojson.precision,
        ),
    ),
    RuleSet(
        "*.gpkg",
        geopackage.GeoPackage,
        (
            geopackage.application_id,
            geopackage.version,
            geopackage.integrity,
            geopackage.foreign_keys,
            geopackage.no_journal,
            geopackage.required_tables,
            geopackage.contents,
            geopackage.described,
            geopackage.reference_systems,
            geopackage.primary_keys,
            geopackage.column_types,
            geopackage.names,
            geopackage.extensions,
            geopackage.data_columns,
            geopackage_geometry.geometry_columns,
            geopackage_geometry.geometry_blobs,
            geopackage_geometry.valid,
            geopackage_geometry.extent,
            geopackage_geometry.spatial_index,
            qgis.default_styles,
            qgis.metadata,
        ),
    ),
    RuleSet("*.qgz", qgis.ProjectFile, (qgis.project_sources, qgis.project_tree, qgis.project_ids)),
)


def verify_release(path: Path, *, quick: bool = False) -> list[Finding]:
    """Check a release and return every rule that it breaks.

    `quick` leaves out the slow rules: a refresh has just compared every value, ``releases verify`` has not.
    """
    if not path.is_dir():
        raise PublicationError(f"{path}: no release is there; `qpv-geo releases list` shows those that are")
    return [finding for rules in RULE_SETS for finding in rules.findings(path, quick=quick)]
