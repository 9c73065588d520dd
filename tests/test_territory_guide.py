"""The guide to territory files shows every key that a territory file may have, and no other."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from qpv_geo.territory import Territory, load_territory, territory_names

GUIDE = Path(__file__).parents[1] / "docs" / "territoire.md"


def example() -> str:
    (text,) = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


def models_of(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models in the type of a field, however it wraps them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_of(part)


def keys_of(model: type[BaseModel], place: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{place}{name}"
        for inner in models_of(field.annotation):
            yield from keys_of(inner, f"{place}{name}.")


def keys_in(table: dict[str, Any], place: str = "") -> Iterator[str]:
    for name, value in table.items():
        yield f"{place}{name}"
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from keys_in(inner, f"{place}{name}.")


def test_every_key_is_shown() -> None:
    shown = set(keys_in(tomllib.loads(example())))
    # Both files have the same keys; they are explained once.
    shown |= {key.replace("quartiers_fichier", "quartiers_fragiles_fichier") for key in shown}
    assert set(keys_of(Territory)) - shown == set(), "not in docs/territoire.md"


def test_the_example_is_a_territory(tmp_path: Path) -> None:
    path = tmp_path / "exemple.toml"
    path.write_text(example(), encoding="utf-8")
    territory = load_territory(str(path))
    assert territory.quartiers_fichier
    assert territory.quartiers_fichier.chemin == r"C:\sig\quartiers.gpkg"


def test_defaults_are_shown_as_they_are() -> None:
    table = tomllib.loads(example())
    for place in ("", "garde", "bandes", "quartiers_fichier"):
        part = table[place] if place else table
        model = next(models_of(Territory.model_fields[place].annotation)) if place else Territory
        for name, field in model.model_fields.items():
            simple = isinstance(field.default, bool | int | float | str)
            assert not simple or part[name] == field.default, name


def test_required_keys_are_marked() -> None:
    for name, field in Territory.model_fields.items():
        if field.is_required():
            assert re.search(rf"^\[?{name}\b.*# requis", example(), re.MULTILINE), name


def test_the_shipped_territories_have_no_key_that_the_guide_lacks() -> None:
    folder = Path(__file__).parents[1] / "qpv_geo" / "territories"
    for name in territory_names():
        table = tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
        assert set(keys_in(table)) <= set(keys_of(Territory))
