"""IGN's geocoder (Géoplateforme): where it is, and how far its answers may be wrong."""

SEARCH = "https://data.geopf.fr/geocodage/search"
"""One address a question; the same with ``/csv`` takes a file of them."""

SCORE_THRESHOLD = 0.8
"""Below this score a geocoder may have found another address, and the precision is unknown."""

RADIUS = {
    "housenumber": 20.0,
    "interpolation": 50.0,
    "street": 300.0,
    "locality": 1_000.0,
    "municipality": 20_000.0,
}
"""Metres by type of result, as the BAN and the Géoplateforme name them.

A house number is placed at its door or on its parcel, a street or a locality at one of its points, a commune
at its centre. No QPV is 20 km deep: **a commune's centre is never a yes**, and a no only if there is no QPV
within this radius.
"""
