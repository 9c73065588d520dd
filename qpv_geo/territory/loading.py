"""Territory files: find one, read it, and explain what is wrong with it."""

import difflib
import shlex
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

from qpv_geo.errors import ConfigurationError
from qpv_geo.territory.model import Territory
from qpv_geo.toml_file import read_toml

_SHIPPED = Path(__file__).parents[1] / "territories"


def territory_names() -> list[str]:
    """Return the names of the territories shipped with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.toml"))


def load_territory(name_or_path: str) -> Territory:
    """Read a shipped territory by its name (``besancon``), or the TOML file at a path.

    Raises `ConfigurationError` if there is none, or the file is not valid, naming the file and the key.
    """
    path = Path(name_or_path) if name_or_path.endswith(".toml") else _SHIPPED / f"{name_or_path}.toml"
    if not path.is_file():
        raise ConfigurationError(_unknown(name_or_path))
    entries = read_toml(path)
    try:
        return Territory.model_validate(entries, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigurationError(f"{path}: the territory is not valid: {_problems(error)}") from error


def _unknown(name: str) -> str:
    """Say that there is no such territory, and what is rather meant: a name misspelt, a code, a place."""
    by_code = {load_territory(known).code: known for known in territory_names()}
    near = by_code.get(name) or next(
        iter(difflib.get_close_matches(name.lower(), by_code.values(), n=1, cutoff=0.7)), None
    )
    others = ", ".join(sorted(by_code.values()))
    hint = f"did you mean {near}?" if near else f"give one of {others}, or the path of a .toml file"
    if not near and not name.endswith(".toml"):
        hint += f"; `qpv-geo territory init {shlex.quote(name)}` writes that of another place"
    return f"no territory {name!r}: {hint}"


def _problems(error: ValidationError) -> str:
    """List what is wrong, one line per key; for an unknown key, suggest known ones."""
    lines = []
    for problem in error.errors():
        place = ".".join(map(str, problem["loc"]))
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            *table, key = problem["loc"]
            known = _known_keys(table)
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            lines.append(f"unknown key '{place}'; {hint}")
        else:
            lines.append(f"'{place}': {message}" if place else message)
    return "\n- ".join(["", *lines])


def _known_keys(table: list[str | int]) -> list[str]:
    """Return the keys allowed in a table of a territory file."""
    model: type[BaseModel] = Territory
    for name in table:
        if isinstance(name, str):
            model = _model_in(model.model_fields[name].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model that a field's type wraps (``tuple[Model, ...]``, ``Model | None``)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
