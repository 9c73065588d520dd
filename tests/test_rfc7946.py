"""Each GeoJSON of a release against a published model of RFC 7946."""

import json

import pytest
from geojson_pydantic import FeatureCollection
from pydantic import ValidationError

from qpv_geo.pipeline.one import Outcome


def test_each_geojson_of_a_release_obeys_rfc_7946(refreshed: Outcome) -> None:
    release = refreshed.release
    files = sorted((release.path / "geojson").glob("*.geojson"))
    assert {file.stem for file in files} >= {"qpv", "communes", "epci", "qpv_commune", "bande_300m"}
    for file in files:
        collection = FeatureCollection.model_validate_json(file.read_text(encoding="utf-8"))
        assert len(collection.features) == release.layers[file.stem]


def test_the_model_would_refuse_an_open_ring() -> None:
    ring = [[6.0, 47.0], [6.1, 47.0], [6.1, 47.1], [6.0, 47.1]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {}, "geometry": geometry}
    with pytest.raises(ValidationError):
        FeatureCollection.model_validate_json(
            json.dumps({"type": "FeatureCollection", "features": [feature]})
        )
