"""Conforming layers: types, missing values, keys and geometries, every problem told at once."""

from datetime import UTC, date, datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from qpv_geo.errors import PublicationError
from qpv_geo.formats.fields import Layer
from qpv_geo.formats.frames import conform
from tests.publishing import conformed, declared, frames_of, inputs

SQUARE = shapely.box(900_000, 6_600_000, 900_100, 6_600_100)
KINDS = ("text", "integer", "real", "boolean", "date", "datetime")


def table(geometry: str | None = None) -> Layer:
    fields = {kind: {"type": kind, "alias": kind} for kind in KINDS}
    return Layer.model_validate(
        {
            "name": "t",
            "title": "T",
            "abstract": "A.",
            "key": ["code"],
            "geometry": geometry,
            "fields": {"code": {"type": "text", "alias": "Code"}} | fields,
        }
    )


def rows(**changes: list[object]) -> pd.DataFrame:
    columns = {
        "code": ["a", "b"],
        "text": ["é", None],
        "integer": [1, None],
        "real": [1.5, None],
        "boolean": [True, None],
        "date": [date(2024, 1, 1), None],
        "datetime": [datetime(2024, 1, 1, 12, 30, 15, 999_000, tzinfo=UTC), None],
    }
    return pd.DataFrame(columns | changes)


def one(frame: pd.DataFrame, layer: Layer) -> pd.DataFrame:
    return conform({"t": frame}, {"t": layer}, 2154)["t"]


def test_types_are_the_declared_ones_and_missing_values_stay_missing() -> None:
    found = one(rows(), table())
    assert {name: str(found[name].dtype) for name in KINDS} == {
        "text": "object",
        "integer": "Int64",
        "real": "float64",
        "boolean": "boolean",
        "date": "datetime64[s]",
        "datetime": "datetime64[ms, UTC]",
    }
    assert found.iloc[1, 1:].isna().all()
    assert found["datetime"].iloc[0] == pd.Timestamp("2024-01-01T12:30:15Z"), "whole seconds"


def test_columns_without_any_value_have_their_type_all_the_same() -> None:
    empty = rows(**{kind: [np.nan, np.nan] for kind in KINDS})
    found = one(empty, table())
    assert str(found["date"].dtype) == "datetime64[s]"
    assert str(found["boolean"].dtype) == "boolean"
    assert found["text"].tolist() == [None, None]
    assert str(one(rows().iloc[:0], table())["integer"].dtype) == "Int64"


def test_an_empty_text_is_a_missing_one_and_whole_floats_are_integers() -> None:
    found = one(rows(text=["", "x"], integer=[3.0, np.nan]), table())
    assert found["text"].tolist() == [None, "x"]
    assert found["integer"].tolist() == [3, pd.NA]


def test_columns_take_the_declared_order_and_rows_keep_theirs() -> None:
    shuffled = rows(code=["z", "a"])[list(reversed(rows().columns))]
    found = one(shuffled, table())
    assert list(found.columns) == ["code", *KINDS]
    assert found["code"].tolist() == ["z", "a"]


def test_layers_take_the_declared_order_and_one_without_columns_is_left_out() -> None:
    made = inputs()
    made.layers["contrat_de_ville"] = pd.DataFrame()
    found = conformed(dict(reversed(made.layers.items())))
    assert list(found) == [name for name in declared() if name in made.layers and name != "contrat_de_ville"]


def test_all_problems_are_told_at_once() -> None:
    frame = rows(
        code=["a", "a"], text=["x\0", None], integer=[1.5, 2], real=[np.inf, 1.0], boolean=["oui", None]
    )
    with pytest.raises(PublicationError) as caught:
        conform({"t": frame, "inconnue": frame}, {"t": table()}, 2154)
    for part in (
        "layer inconnue is not declared",
        "rows repeat a key",
        "field text: a text holds a NUL",
        "field integer: expected whole numbers, found 1.5",
        "field real: a value is infinite",
        "field boolean: expected boolean, found string, as in 'oui'",
    ):
        assert part in str(caught.value), part


@pytest.mark.parametrize(
    ("kind", "value"),
    [("text", 25056), ("integer", "3"), ("real", "1,5"), ("boolean", 1), ("date", "2024-01-01")],
)
def test_a_value_of_another_type_is_refused(kind: str, value: object) -> None:
    with pytest.raises(PublicationError, match=f"field {kind}: expected {kind}"):
        one(rows(**{kind: [value, None]}), table())


def test_columns_must_be_the_declared_ones() -> None:
    with pytest.raises(PublicationError, match=r"not declared: autre\n- .*columns missing: real"):
        one(rows().rename(columns={"real": "autre"}), table())


def test_a_key_may_be_empty_only_where_it_is_declared_optional() -> None:
    with pytest.raises(PublicationError, match="1 rows lack code"):
        one(rows(code=["a", None]), table())
    made = inputs()
    made.layers["qpv_commune"].loc[0, "insee_com"] = None
    assert frames_of(made)["qpv_commune"]["insee_com"].isna().sum() == 1


def spatial(geometry: object, crs: int | None = 2154) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(rows().iloc[:1], geometry=[geometry], crs=crs)


def test_a_polygon_becomes_a_multipolygon() -> None:
    found = one(spatial(SQUARE), table("MultiPolygon"))
    assert found.geometry.name == "geom"
    assert found.geometry.iloc[0].equals_exact(shapely.MultiPolygon([SQUARE]), 0)


BOW_TIE = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])


@pytest.mark.parametrize(
    ("geometry", "what"),
    [
        (None, "missing or not a MultiPolygon"),
        (shapely.Point(0, 0), "missing or not a MultiPolygon"),
        (shapely.Polygon(), "empty"),
        (shapely.force_3d(SQUARE), "three-dimensional"),
        (BOW_TIE, "not valid"),
    ],
)
def test_a_geometry_that_gis_software_would_choke_on_is_refused(geometry: object, what: str) -> None:
    with pytest.raises(PublicationError, match=rf"geometry {what}: \[\{{'code': 'a'\}}\]"):
        one(spatial(geometry), table("MultiPolygon"))


def test_another_crs_is_refused() -> None:
    with pytest.raises(PublicationError, match="expected EPSG:2154, found WGS 84"):
        one(spatial(shapely.box(6, 47, 6.1, 47.1), 4326), table("MultiPolygon"))
    with pytest.raises(PublicationError, match="expected EPSG:2154, found None"):
        one(spatial(SQUARE, None), table("MultiPolygon"))


def test_geometry_must_be_there_if_and_only_if_declared() -> None:
    with pytest.raises(PublicationError, match="declared without geometry"):
        one(spatial(SQUARE), table())
    with pytest.raises(PublicationError, match="declared with geometry"):
        one(rows(), table("MultiPolygon"))
