"""How templates are filled, of pages, reports and what QGIS reads: escaped, with no name left undefined."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from qpv_geo.french import counted, french_date, listing, short_number, word


@cache
def environment(package: str) -> Environment:
    """Return the environment of the templates that lie in a package's folder ``templates``."""
    templates = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    templates.filters |= {
        "jour": french_date,
        "nombre": short_number,
        "liste": listing,
        "compte": counted,
        "mot": word,
    }
    return templates


def render(package: str, template: str, **values: Any) -> str:  # noqa: ANN401 - templates take what they name
    """Return a template of a package, filled with the values that it names."""
    return environment(package).get_template(template).render(values)
