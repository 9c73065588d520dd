"""QGIS expressions that write values as French readers do, a missing one with its reason."""

import re

from qpv_geo.formats.fields import Layer, LayerField
from qpv_geo.french import NO_BREAK
from qpv_geo.typography import typeset

_EVALUATED = re.compile(r"(\[%.*?%\])", re.DOTALL)

# A share and an index have one decimal; counts, areas and amounts are whole.
_ONE_DECIMAL = {"%", ""}


def text_of(layer: Layer, field: str, words: dict[str, str]) -> str:
    """Return the expression of a field's value: ``46,0 %``, ``15 603 habitants``, ``secret statistique``.

    It is never NULL: ``<field>_statut`` says why a value is missing, in `words`, if the layer has it.
    """
    declared = layer.fields[field]
    name = _column(field)
    if declared.type in {"integer", "real"}:
        text = _number(name, declared)
        if declared.unit:
            text = f"{text} || {quoted(NO_BREAK + declared.unit)}"
    else:
        text = f"to_string({name})"
    return f"CASE WHEN {name} IS NOT NULL THEN {text} ELSE {reason_of(layer, field, words)} END"


def interval_of(layer: Layer, field: str) -> str:
    """Return the expression of a field's confidence interval, `` [36,9 ; 39,8]``, the empty text without."""
    bounds = [f"{field}_borne_basse", f"{field}_borne_haute"]
    if not layer.fields.keys() >= set(bounds):
        return "''"
    low, high = (_number(_column(bound), layer.fields[bound]) for bound in bounds)
    between = quoted(f"{NO_BREAK};{NO_BREAK}")
    return f"coalesce(' [' || {low} || {between} || {high} || ']', '')"


def vintage_of(layer: Layer, field: str, before: str = "", after: str = "") -> str:
    """Return the expression of a field's vintage between two texts, the empty text without."""
    vintage = f"{field}_millesime"
    if vintage not in layer.fields:
        return "''"
    return f"coalesce({quoted(before)} || {_column(vintage)} || {quoted(after)}, '')"


def rank_of(layer: Layer, field: str) -> str:
    """Return the expression of a field's rank, ``, rang 120 sur 1 296``, the empty text without."""
    ranks = [f"{field}_rang", f"{field}_rang_sur"]
    if not layer.fields.keys() >= set(ranks):
        return "''"
    rank, among = (f"format_number({_column(name)}, 0, 'fr')" for name in ranks)
    return f"coalesce(', rang ' || {rank} || ' sur ' || {among}, '')"


def decimals_of(declared: LayerField) -> int:
    """Return with how many decimals the values of a field are shown: one at most, and none that they lack."""
    one = int(declared.type == "real" and declared.unit in _ONE_DECIMAL)
    return one if declared.decimals is None else min(one, declared.decimals)


def _number(name: str, declared: LayerField) -> str:
    return f"format_number({name}, {decimals_of(declared)}, 'fr')"


def reason_of(layer: Layer, field: str, words: dict[str, str]) -> str:
    """Return the expression of the reason why a field has no value, in `words`."""
    status = f"{field}_statut"
    if status not in layer.fields:
        return quoted("non renseigné")
    cases = " ".join(
        f"WHEN {_column(status)} = {quoted(code)} THEN {quoted(word)}"
        for code, word in words.items()
        if code != "ok"
    )
    return f"CASE {cases} ELSE {quoted('non disponible')} END"


def literal(text: str) -> str:
    """Write a text so that QGIS, which evaluates ``[% %]`` in the texts of a page, shows it as it is."""
    return text.replace("[%", "[% '[%' %]")


def typeset_outside(text: str) -> str:
    """Put a text of a page into French typography, without what QGIS evaluates in it."""
    parts = _EVALUATED.split(text)
    return "".join(part if part.startswith("[%") else typeset(part) for part in parts)


def html_of(expression: str) -> str:
    """Return the expression of a text that is shown as HTML: what looks like a tag is none."""
    return f"replace(replace({expression}, '&', '&amp;'), '<', '&lt;')"


def evaluation(expression: str, without: str = "…") -> str:
    """Return a text of a layout that shows an expression, and `without` until a page is seen."""
    return f"[% try({expression}, {quoted(without)}) %]"


def quoted(text: str) -> str:
    """Write a text as a literal of QGIS's expressions."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    # In a text of a page, "%]" would end the expression.
    return f"'{escaped}'".replace("%]", "%' || ']")


def _column(name: str) -> str:
    return f'"{name}"'
