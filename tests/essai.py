"""A made-up territory for the tests of single joins."""

from typing import Any

from qpv_geo.territory import Expected, Territory


def essai(*, qpv: int = 1, **fields: Any) -> Territory:  # noqa: ANN401
    """Return an EPCI of the Doubs with so many QPV and these fields."""
    return Territory(
        id="essai",
        nom="Essai",
        epci="242500361",
        departement="25",
        region="27",
        expected=Expected(qpv=qpv),
        **fields,
    )
