"""`locate` as an OGC API process: what a request may hold, and its answer."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, model_validator
from pygeoapi.process.base import BaseProcessor

from qpv_geo.frozen import Frozen
from qpv_geo.locate.coordinates import Geometries
from qpv_geo.locate.layers import layer_specs
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.one import FORMER, locate_address, locate_point
from qpv_geo.locate.places import check_in_france
from qpv_geo.settings import Settings

MOST_POINTS = 10_000
"""Of one request."""
PROCESS = "locate"
DEGREES = 4326

_Metres = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Degrees = Annotated[float, Field(allow_inf_nan=False)]


class Inputs(Frozen):
    """One point, many points, or an address."""

    point: tuple[_Degrees, _Degrees] | None = Field(
        None, description="Longitude et latitude d'un point, ou x et y dans la projection « crs »."
    )
    points: list[tuple[_Degrees | None, _Degrees | None]] | None = Field(
        None, min_length=1, max_length=MOST_POINTS, description="Plusieurs points."
    )
    address: str | None = Field(
        None,
        min_length=3,
        max_length=200,
        description="Une adresse, ENVOYÉE au géocodeur de l'IGN ; refusée si le serveur ne l'a pas permis.",
    )
    crs: int = Field(DEGREES, description="Code EPSG : 4326, ou la projection du territoire.")
    precision: _Metres | list[_Metres | None] | None = Field(
        None, description="De combien de mètres les points peuvent être faux : une valeur, ou une par point."
    )

    layers: tuple[str, ...] = Field(
        (), alias="with", description="Ce qu'il faut dire en plus : commune, epci, iris…, comme « --with »."
    )
    date: dt.date | None = Field(
        None, description="Jour pour lequel répondre : QPV de 2015 ou de 2024, comme « --date »."
    )

    @model_validator(mode="after")
    def _is_one_question(self) -> Self:
        if sum(given is not None for given in (self.point, self.points, self.address)) != 1:
            raise ValueError("give one of point, points and address")
        if isinstance(self.precision, list) and len(self.precision) != len(self.points or ()):
            raise ValueError("precision: give one number, or as many as points")
        if self.address and (self.crs != DEGREES or self.precision is not None):
            raise ValueError("an address has neither crs nor precision")
        return self


class Execution(BaseModel):
    """The body of a request, of which OGC API Processes may hold more."""

    inputs: Inputs
    response: Literal["raw", "document"] = "raw"


def answer(inputs: Inputs, locator: Locator, settings: Settings) -> dict[str, Any]:
    """Answer as the command does: the columns of one point or address, or ``answers``, one for each point.

    Raises `ContractError` if all points are outside France, and `SourceUnavailableError` or
    `SourceContentError` if the geocoder cannot be asked.
    """
    unasked = {FORMER}
    for name, spec in layer_specs().items():
        if name not in inputs.layers:
            unasked |= set(spec.schema.names)
    if inputs.points is None:
        if inputs.address:
            one = locate_address(locator, inputs.address, settings, date=inputs.date)
        else:
            metres = inputs.precision if isinstance(inputs.precision, float) else None
            one = locate_point(locator, inputs.point or (0, 0), metres, inputs.date, options=False)
        return {name: cell for name, cell in one.items() if name not in unasked}
    x, y = np.array(inputs.points, np.float64).T.copy()
    check_in_france(x, y, locator.points_crs, "points", options=False)
    radius = None if inputs.precision is None else np.array(inputs.precision, np.float64)
    _, table = locator.locate_geometries(Geometries(x, y), radius, dates=inputs.date)
    return {"answers": table.select([name for name in table.column_names if name not in unasked]).to_pylist()}


class LocateProcess(BaseProcessor):  # type: ignore[misc] # pygeoapi has no types
    """What pygeoapi says of the process; requests are answered by `answer`, without pygeoapi's jobs."""

    def __init__(self, processor_def: Mapping[str, Any]) -> None:
        schema = Inputs.model_json_schema(by_alias=True)["properties"]
        inputs = {
            name: {
                "title": name,
                "description": described.pop("description"),
                "schema": {key: value for key, value in described.items() if key != "title"},
                "minOccurs": 0,
                "maxOccurs": 1,
            }
            for name, described in schema.items()
        }
        super().__init__(
            processor_def,
            {
                "version": "1.0.0",
                "id": PROCESS,
                "title": "Ces points sont-ils dans un QPV ?",
                "description": "Répond comme « qpv-geo locate » : dans un QPV ou non, lequel, à quelle"
                " distance du plus proche, et dans sa bande de TVA réduite ou non.",
                "jobControlOptions": ["sync-execute"],
                "keywords": ["QPV", "localisation"],
                "links": [],
                "inputs": inputs,
                "outputs": {
                    "answer": {
                        "title": "Réponse",
                        "description": "Publication (release, date, licence) et colonnes de « qpv-geo"
                        " locate » ; pour plusieurs points, dans « answers », une ligne par point.",
                        "schema": {"type": "object", "contentMediaType": "application/json"},
                    }
                },
                "example": {"inputs": {"point": [5.963, 47.226]}},
            },
        )
