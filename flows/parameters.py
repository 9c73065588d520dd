"""The parameters of the flows: their types, what the API refuses, how Prefect's forms show them."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from qpv_geo.errors import ConfigurationError
from qpv_geo.pipeline.job import Job, job_for
from qpv_geo.releases.formats import ON_REQUEST
from qpv_geo.territory import territory_names
from qpv_geo.toml_file import read_toml

_FORM: dict[str, dict[str, str]] = read_toml(Path(__file__).with_name("form.toml"))

# What a run waits for another one of the same territory: it is no reason to alarm anybody.
WAIT = 7200.0


def _shown(name: str, **limits: Any) -> Any:  # noqa: ANN401 - as `Field`
    """Say how a form shows a parameter, and which values it takes.

    Prefect writes a title and a description of its own over those of a field, but leaves what is given here.
    """
    territories = ", ".join(territory_names())
    texts: Any = {key: text.replace("{territories}", territories) for key, text in _FORM[name].items()}
    return Field(json_schema_extra=texts, **limits)


TerritoryName = Annotated[str, _shown("territory", min_length=1)]
Offline = Annotated[bool, _shown("offline")]
Mirror = Annotated[Annotated[str, Field(min_length=1)] | None, _shown("mirror")]
MirrorAddress = Annotated[Annotated[str, Field(pattern="^https?://.+")] | None, _shown("mirror_address")]
RequireLive = Annotated[bool, _shown("require-live")]
DataFolder = Annotated[Annotated[str, Field(min_length=1)] | None, _shown("data")]
Formats = Annotated[
    tuple[Literal[*ON_REQUEST], ...],  # type: ignore[valid-type] # the names are those of one list
    _shown("formats"),
]
Pages = Annotated[bool, _shown("pages")]
Workers = Annotated[int, _shown("workers", ge=0, le=256)]
Only = Annotated[tuple[str, ...], _shown("only")]
Force = Annotated[bool, _shown("force")]
Wait = Annotated[float, _shown("wait", ge=0)]


def job_of_form(*given: Any, **named: Any) -> Job:  # noqa: ANN401 - those of `job_for`
    """Return the job of a form; raises as `job_for`, with the form's own words."""
    try:
        return job_for(*given, **named)
    except ConfigurationError as error:
        message = str(error)
        for name, shown in _FORM.items():
            message = message.replace(f"--{name}", f"« {shown['title']} »")
        raise ConfigurationError(message) from error
