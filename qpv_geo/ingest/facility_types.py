"""The types of facilities that are counted, declared as data."""

import tomllib
from functools import cache
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from qpv_geo.errors import ConfigurationError

_TYPES = Path(__file__).with_name("facilities.toml")


class _Domain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    domaine: str = Field(min_length=1)
    types: dict[str, str] = Field(min_length=1)


@cache
def load_facility_types(path: Path = _TYPES) -> pd.DataFrame:
    """Read the types, in the order of the file.

    Returns
    -------
    DataFrame
        ``type_equipement`` (INSEE's code, each once), ``libelle``, ``domaine``.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        domains = TypeAdapter(dict[str, _Domain]).validate_python(entries)
        rows = [
            (code, label, domain.domaine)
            for domain in domains.values()
            for code, label in domain.types.items()
        ]
    except (OSError, ValueError, ValidationError) as error:
        raise ConfigurationError(f"{path}: the types of facilities are not valid: {error}") from error
    types = pd.DataFrame(rows, columns=["type_equipement", "libelle", "domaine"], dtype=object)
    if twice := sorted(types.loc[types["type_equipement"].duplicated(), "type_equipement"]):
        raise ConfigurationError(f"{path}: types of facilities declared twice: {', '.join(twice)}")
    return types
