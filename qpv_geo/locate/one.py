"""One point or one address: the answer as a dictionary, and as a sentence."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from qpv_geo.errors import ConfigurationError
from qpv_geo.locate.coordinates import Geometries, split_text
from qpv_geo.locate.edges import FloatArray
from qpv_geo.locate.layers import layer_specs
from qpv_geo.locate.locator import Locator
from qpv_geo.locate.places import check_in_france
from qpv_geo.locate.points import geocoder_precision
from qpv_geo.settings import Settings
from qpv_geo.sources.geocoder import SCORE_THRESHOLD

FORMER = "bande_300m"
"""Column that the files still have; the next version drops it."""

OneAnswer = Mapping[str, Any]
"""The columns of `locate`, the name of the nearest QPV (``lib_qp_proche``), and whether the release knows the
QPV there (``territoire_connu``)."""


def parse_point(text: str) -> tuple[float, float]:
    """Return x and y of two numbers, or WKT; raises `ConfigurationError` if it is neither."""
    x, y, _ = split_text(pa.array([text]), x_first=True)
    if not np.isfinite([*x, *y]).all():
        raise ConfigurationError(
            f"--point {text!r}: expected longitude and latitude with a comma between, such as 5.963,47.226"
        )
    return float(x[0]), float(y[0])


def locate_point(
    locator: Locator,
    point: tuple[float, float],
    precision: float | None = None,
    date: dt.date | None = None,
    *,
    options: bool = True,
) -> OneAnswer:
    """Locate a point in the CRS of the locator, at a date if it is `dated`.

    Raises `ContractError` if the point is not in France; the message says which CRS or order would fit and,
    with `options`, names those of the command.
    """
    x, y = np.array(point, np.float64).reshape(2, 1)
    name = "--point" if options else "point"
    check_in_france(x, y, locator.points_crs, name, options=options)
    return _answer(locator, Geometries(x, y), precision, date)


def locate_address(
    locator: Locator,
    address: str,
    settings: Settings,
    threshold: float = SCORE_THRESHOLD,
    date: dt.date | None = None,
) -> OneAnswer:
    """Send an address to IGN's geocoding service, and locate what it finds; ``illisible`` if nothing.

    Raises `SourceUnavailableError` or `SourceContentError` if the service does not answer as expected.
    """
    # imported lazily: httpx takes 0.2 s
    from qpv_geo.locate.geocoding import geocode  # noqa: PLC0415
    from qpv_geo.sources.catalogue import load_catalogue  # noqa: PLC0415

    found = geocode([address], settings, load_catalogue()["geocodage"])
    x, y, score = (found[name].to_numpy() for name in ("longitude", "latitude", "result_score"))
    radius = geocoder_precision(found["result_type"].combine_chunks(), score, 1, threshold)
    answer = _answer(locator, Geometries(x, y), radius, date)
    return {"address": address, **found.to_pylist()[0], **answer}


def _answer(
    locator: Locator, at: Geometries, precision: float | FloatArray | None, date: dt.date | None
) -> OneAnswer:
    located, table = locator.locate_geometries(at, precision, dates=date)
    (row,) = table.to_pylist()
    row.pop(FORMER, None)
    row["lib_qp_proche"] = locator.names.get(row["code_qp_proche"])
    return {**row, "territoire_connu": not locator.outside(at.x, at.y, located)}


def sentence(answer: OneAnswer) -> str:
    """Say an answer in English."""
    name = answer.get("geographie_qpv")
    geography = f"{name}." if name else ""
    parts = [_place(answer), geography, _qpv(answer), _band(answer), *_layers(answer)]
    return " ".join(part for part in parts if part)


def _place(answer: OneAnswer) -> str:
    if "address" not in answer or answer["en_qpv"] == "illisible":
        return ""
    return f"{answer['result_label']} ({answer['result_type']}, score {answer['result_score']:.2f})."


def _qpv(answer: OneAnswer) -> str:
    metres = answer["distance_m"]
    near = "" if metres is None else f"{abs(metres):,.0f} m"
    nearest = f"{answer['lib_qp_proche']} ({answer['code_qp_proche']})"
    sentences = {
        "oui": f"In a QPV: {nearest}, {near} inside its limit.",
        "non": f"Not in a QPV; the nearest is {nearest}, {near} away.",
        "incertain": f"Uncertain: the limit of {nearest} is {near} away, within the error of the point.",
        "illisible": "The geocoder finds no such address.",
    }
    if reason := answer.get("motif_geographie"):
        return f"Uncertain: no layer of the release answers for that date ({reason})."
    if answer["en_qpv"] == "incertain" and not answer["territoire_connu"]:
        return "Uncertain: the release does not know the QPV there; publish the territory france."
    if metres is None and answer["en_qpv"] == "non":
        return "Not in a QPV, and none is near."
    if metres is None and answer["en_qpv"] == "incertain":
        return "Uncertain: the point is not precise enough."
    return sentences[answer["en_qpv"]]


def _band(answer: OneAnswer) -> str:
    if answer.get("bande_tva") not in {"oui", "non"} or answer["en_qpv"] not in {"oui", "non"}:
        return ""
    width = answer["largeur_bande_m"]
    where = "" if width is None else f" ({width:g} m wide)"
    verb = "Within" if answer["bande_tva"] == "oui" else "Outside"
    return f"{verb} the band of reduced VAT{where}."


def _layers(answer: OneAnswer) -> Iterator[str]:
    """Say the answers for the layers asked for."""
    for name, spec in layer_specs().items():
        if (inside := answer.get(f"en_{name}")) is None or inside == "illisible":
            continue
        *codes, label = [answer[column] for column in reversed(spec.columns) if answer[column]] or ["none"]
        zone = f"{codes[0]} ({label})" if codes else label
        yield f"{name}: {zone}{', uncertain' if inside == 'incertain' else ''}."
