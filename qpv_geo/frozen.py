"""The base of what is declared, or kept, as data, and what is wrong with a declaration in a file."""

import difflib
from typing import get_args

from pydantic import BaseModel, ConfigDict, ValidationError


class Frozen(BaseModel):
    """A model that does not change and refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def problems_of(error: ValidationError, model: type[BaseModel]) -> str:
    """List what is wrong, one line per key; for an unknown key, suggest known ones."""
    lines = []
    for problem in error.errors():
        place = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            *table, key = problem["loc"]
            known = list(_table(model, table).model_fields)
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            lines.append(f"unknown key '{place}'; {hint}")
        else:
            lines.append(f"'{place}': {message}" if place else message)
    return "\n- ".join(["", *dict.fromkeys(lines)])


def _table(model: type[BaseModel], names: list[str | int]) -> type[BaseModel]:
    """Return the model of a table inside another."""
    for name in names:
        if isinstance(name, str) and name in model.model_fields:
            model = _model_in(model.model_fields[name].annotation) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model that a field's type wraps (``tuple[Model, ...]``, ``Model | None``)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
