"""What a release is about, read from a TOML file: `load_territory` gives a `Territory`.

``tables.py`` models the tables of the file, ``model.py`` the file, which it reads.
"""

from qpv_geo.territory.model import Kind, Territory, codes_of, load_territory, territory_names
from qpv_geo.territory.tables import (
    BAND_WIDTH,
    COMMUNES_PRECISION,
    LARGEST_REACH,
    Bands,
    Contact,
    ContourFile,
    Contract,
    ContractQpv,
    Expected,
    FragileDistrict,
    Guard,
    LocalDistrict,
    Retention,
)

__all__ = [
    "BAND_WIDTH",
    "COMMUNES_PRECISION",
    "LARGEST_REACH",
    "Bands",
    "Contact",
    "ContourFile",
    "Contract",
    "ContractQpv",
    "Expected",
    "FragileDistrict",
    "Guard",
    "Kind",
    "LocalDistrict",
    "Retention",
    "Territory",
    "codes_of",
    "load_territory",
    "territory_names",
]
