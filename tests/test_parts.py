"""Layers ``communes`` and ``epci``: counts, sums and areas."""

from types import SimpleNamespace

import geopandas as gpd
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qpv_geo.analysis import parts
from tests.publishing import BESANCON

SIRENS = ("200000001", "200000002", "200000003")
commune = st.tuples(
    st.sampled_from(SIRENS), st.none() | st.integers(0, 10**6), st.integers(1, 90), st.integers(0, 9)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(commune, min_size=1, max_size=8))
def test_an_epci_is_the_sum_of_its_communes(
    communes: list[tuple[str, int | None, int, int]],
) -> None:
    """Side by side, a kilometre from one another: nothing overlaps."""
    layer = gpd.GeoDataFrame(
        {
            "siren_epci": [siren for siren, *_ in communes],
            "population": pd.array([people for _, people, *_ in communes], dtype="Int64"),
        },
        geometry=[
            shapely.box(1000 * n, 0, 1000 * n + 10 * width, 500) for n, (*_, width, _) in enumerate(communes)
        ],
        crs=2154,
    )
    qpv = pd.Series({siren: number for siren, *_, number in communes}, dtype="int64")
    epci = parts._epci(layer, qpv, SimpleNamespace(epci_members=None), BESANCON).set_index("siren_epci")
    assert set(epci.index) == set(layer["siren_epci"])
    for siren, members in layer.groupby("siren_epci"):
        row = epci.loc[siren]
        assert row["nb_communes"] == len(members)
        assert row["nb_qpv"] == qpv[siren]
        known = members["population"].notna().all()
        assert (row["population"] == members["population"].sum()) if known else pd.isna(row["population"])
        assert row["surface_m2"] == pytest.approx(members.area.sum(), rel=1e-9)
        assert row.geometry.area == pytest.approx(row["surface_m2"], rel=1e-12)
