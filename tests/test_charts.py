"""The axes of charts."""

import pytest

from qpv_geo.portraits.charts import _Axis


@pytest.mark.parametrize(
    ("low", "high", "powers", "ticks"),
    [
        (40.2, 42.9, False, [41, 42]),
        (0.0, 100.0, False, [0, 20, 40, 60, 80, 100]),
        (812.0, 48_000.0, True, [1_000, 10_000]),
    ],
)
def test_ticks_are_whole_numbers_that_a_reader_expects(
    low: float, high: float, ticks: list[float], *, powers: bool
) -> None:
    assert _Axis(low, high, powers=powers).ticks == ticks
