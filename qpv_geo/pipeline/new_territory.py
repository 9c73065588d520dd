"""Write a territory file from the official geographic code (COG) and the contours."""

import difflib
import json
import re
import textwrap
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable

import pandas as pd

from qpv_geo.analysis.selection import declares
from qpv_geo.errors import ConfigurationError
from qpv_geo.french import own_name
from qpv_geo.pipeline.country import Country
from qpv_geo.territory import Expected, Kind, Territory, codes_of
from qpv_geo.zones import zone_of

CODE_FORMS: dict[Kind, str] = {
    "france": "(?i)france",
    "epci": r"\d{9}",
    "commune": r"\d[\dAB]\d{3}",
    "departement": r"\d{2}|2[AB]|9[78]\d",
}
_NEAR = 5
_WIDTH = 100


def kind_of(code: str) -> Kind:
    """Return the kind of territory that a code stands for, by its form."""
    for kind, form in CODE_FORMS.items():
        if re.fullmatch(form, code):
            return kind
    raise ConfigurationError(
        f"{code!r} is not the code of a territory: give the SIREN of an EPCI (9 digits), the INSEE code of a "
        "commune (5 characters) or of a department (25, 2A, 974), or france"
    )


def code_of(name: str, country: Country) -> tuple[str, str]:
    """Return the code of the EPCI or the department of a name, and a remark in English if there is one.

    The name of a commune stands for its EPCI. Case, accents and hyphens do not matter. Raises
    `ConfigurationError` if there is no such name, or several places have it; similar ones are named.
    """
    communes, qpv = country.communes, country.qpv.dropna(subset="lib_dep")
    names = country.epci_names | dict(zip(qpv["insee_dep"], qpv["lib_dep"], strict=True))
    places = names | dict(zip(communes["insee_com"], communes["nom_com"], strict=True))
    wanted = slug(name)
    for some in (names, places):
        found = [code for code, own in some.items() if wanted in {slug(own), slug(own_name(own))}]
        if len(found) == 1:
            (code,) = found
            siren = country.epci_of.get(code, code)
            of = f"{country.epci_names.get(siren)} ({siren})"
            what = f"{places[code]} is a commune of {of}, whose file this is; the code"
            return siren, "" if siren == code else f"{what} {code} gives that of the commune alone"
        if found:
            listed = ", ".join(f"{code} ({places[code]})" for code in found)
            raise ConfigurationError(f"several places are called {name}, give the code of one: {listed}")
    words = {code: slug(own) for code, own in places.items()}
    spelt = difflib.get_close_matches(wanted, words.values(), n=_NEAR, cutoff=0.75)
    near = [code for code, own in words.items() if (code in names and wanted in own) or own in spelt][:_NEAR]
    listed = ", ".join(f"{places[code]} ({code})" for code in near)
    raise ConfigurationError(
        f"no EPCI, department or commune is called {name!r}" + (f"; did you mean {listed}?" if near else "")
    )


def describe_territory(code: str, country: Country) -> tuple[Territory, list[str]]:
    """Return a territory by its code, and remarks in English on where the COG and the contours differ.

    Raises `ConfigurationError` if it is unknown (similar ones are named), or has no contour of its communes,
    or no QPV.
    """
    kind = kind_of(code)
    communes, qpv = country.communes, country.qpv
    if kind == "france":
        expected = Expected(qpv=len(qpv), communes=len(communes))
        whole = Territory(id="france", nom="France", genre="france", expected=expected)
        return whole, list(_differences(set(country.members["insee_com"]), communes, whole))
    draft = _draft(code, kind, country)
    columns = {"epci": "siren_epci", "commune": "insee_com", "departement": "insee_dep"}
    mine = country.communes_with(columns[kind], [code])
    if mine.empty:
        raise ConfigurationError(
            f"{draft.nom} ({code}): the national file holds no contour of its communes (it has none of the "
            "overseas collectivities), so no release can be made of it"
        )
    codes = sorted(mine["insee_com"])
    draft = draft.model_copy(update={"communes": tuple(codes)})
    near = country.qpv_near(draft)
    inside = near[declares(near, draft)]
    if inside.empty:
        raise ConfigurationError(
            f"{draft.nom} ({code}) has no QPV among the {len(qpv)} of the national file: there is nothing to "
            "publish for it"
        )
    named = {code for listed in inside["insee_com"] for code in codes_of(listed)}
    in_department = country.qpv_in_department(draft.departement)
    content = draft.model_dump() | {
        "communes_principales": tuple(sorted(named.intersection(codes))),
        "epsg": zone_of(str(mine["insee_com"].iloc[0])).epsg,
        "expected": Expected(qpv=len(inside), qpv_departement=in_department, communes=len(mine)),
    }
    official = set(country.members_of(code)["insee_com"]) if kind == "epci" else set()
    return Territory.model_validate(content), list(_differences(official, mine, draft))


def territories_with_qpv(country: Country) -> list[Territory]:
    """Return a territory for each EPCI of the COG that has a QPV, by SIREN."""
    qpv = country.qpv
    declared = {siren for codes in qpv["siren_epci"] for siren in codes_of(codes)}
    # Around Paris and in Mayotte, only the declared communes give the EPCI.
    declared |= {country.epci_of.get(code, "") for codes in qpv["insee_com"] for code in codes_of(codes)}
    declared &= country.epci_names.keys()
    territories = [describe_territory(siren, country)[0] for siren in sorted(declared)]
    names = Counter(territory.id for territory in territories)
    return [
        territory.model_copy(update={"id": f"{territory.id}-{territory.epci}"})
        if names[territory.id] > 1
        else territory
        for territory in territories
    ]


def qpv_without_territory(country: Country, territories: Iterable[Territory]) -> list[str]:
    """Return the codes of the QPV that declare none of the territories, sorted."""
    left = set(country.qpv["code_qp"])
    for territory in territories:
        near = country.qpv_near(territory)
        left -= set(near.loc[declares(near, territory), "code_qp"])
    return sorted(left)


def _draft(code: str, kind: Kind, country: Country) -> Territory:
    """Return the territory with its codes and name, before anything is counted."""
    communes, qpv = country.communes, country.qpv
    declared: dict[str, str | None]
    if kind == "epci":
        rows = country.members_of(code)
        if rows.empty:
            raise ConfigurationError(_unknown_epci(code, country))
        name = country.epci_names[code]
        parts = country.communes_with("insee_com", rows["insee_com"])
        declared = {
            "id": slug(name),
            "nom": own_name(name),
            "departement": _most(parts["insee_dep"], rows["insee_com"]),
            "region": _most(parts["insee_reg"], ["00"]),
        }
    elif kind == "commune":
        rows = country.communes_with("insee_com", [code])
        if rows.empty:
            raise ConfigurationError(_unknown_commune(code, communes))
        row = rows.iloc[0].to_dict()
        declared = {
            "id": slug(f"{row['nom_com']}-{code}"),
            "nom": row["nom_com"],
            "epci": row["siren_epci"],
            "departement": row["insee_dep"],
            "region": row["insee_reg"],
        }
    else:
        names = qpv.loc[qpv["insee_dep"] == code, "lib_dep"].dropna()
        name = str(names.iloc[0]) if len(names) else f"Département {code}"
        rows = country.communes_with("insee_dep", [code])
        if rows.empty and not len(names):
            known = ", ".join(sorted(set(communes["insee_dep"])))
            raise ConfigurationError(f"no department {code!r}; the national file knows {known}")
        region = next(iter(rows["insee_reg"].dropna()), None)
        declared = {"id": slug(name), "nom": name, "region": region}
    return Territory(genre=kind, expected=Expected(qpv=0), **(declared | {kind: code}))


def _most(values: pd.Series, others: Iterable[str]) -> str:
    """Return the most frequent code; the smallest one if several are."""
    counts: Counter[str] = Counter(values.dropna()) or Counter(code[:2] for code in others)
    return min(counts, key=lambda code: (-counts[code], code))


def _differences(official: set[str], communes: pd.DataFrame, territory: Territory) -> Iterable[str]:
    """Name the communes that only the COG or only the contours hold."""
    drawn = set(communes["insee_com"])
    if official and (missing := sorted(official - drawn)):
        yield f"{territory.nom}: in the COG without contour: {', '.join(missing)}"
    if official and territory.genre == "epci" and (more := sorted(drawn - official)):
        yield f"{territory.nom}: with a contour that declares it, not in the COG: {', '.join(more)}"


def _unknown_epci(code: str, country: Country) -> str:
    names, qpv = country.epci_names, country.qpv
    declaring = qpv[[code in codes_of(codes) for codes in qpv["siren_epci"]]]
    if len(declaring):
        communes = {commune for codes in declaring["insee_com"] for commune in codes_of(codes)}
        owners = {country.epci_of[commune] for commune in communes & country.epci_of.keys()}
        listed = ", ".join(f"{siren} ({names[siren]})" for siren in sorted(owners))
        return (
            f"{code} is declared by {len(declaring)} QPV but is not an EPCI of the COG (an établissement "
            f"public territorial, or a city); give its EPCI: {listed}, or one of its communes"
        )
    # The SIREN of an EPCI often begins with 24 and its department, that of a newer one with 2000.
    beside = {siren: name for siren, name in names.items() if siren[:4] == code[:4]} or names
    return f"no EPCI {code} among the {len(names)} of the COG; {_resembling(code, beside, 0.7)}"


def _unknown_commune(code: str, communes: pd.DataFrame) -> str:
    names = dict(zip(communes["insee_com"], communes["nom_com"], strict=True))
    beside = {other: name for other, name in names.items() if other[:2] == code[:2]}
    return (
        f"no commune {code} among the {len(names)} current ones with a contour (a delegated commune or a "
        f"municipal district is not one); {_resembling(code, beside, 0.6)}"
    )


def _resembling(code: str, names: dict[str, str], cutoff: float) -> str:
    near = difflib.get_close_matches(code, names, n=_NEAR, cutoff=cutoff)
    listed = ", ".join(f"{other} ({names[other]})" for other in near) or "none"
    return f"codes that resemble it: {listed}"


def slug(name: str) -> str:
    """Return a name as an identifier: ``CA Pays de Montbéliard`` gives ``ca-pays-de-montbeliard``."""
    plain = unicodedata.normalize("NFKD", name.replace("œ", "oe").replace("Œ", "OE"))
    ascii_only = plain.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")


def to_toml(territory: Territory) -> str:
    """Return a territory as TOML that reads back as the same territory; defaults are left out."""
    lines = [f"# {territory.nom}: written by `qpv-geo territory init {territory.code}`."]
    content = territory.model_dump(exclude_defaults=True, exclude={"expected"})
    lines += [f"{name} = {_value(value)}" for name, value in content.items()]
    if territory.genre != "france" and "epsg" not in content:
        lines.append(f"epsg = {territory.epsg}")
    lines += [
        "",
        "# Who publishes and answers, in the metadata and the DCAT-AP catalogue.",
        "# Without this table, releases say that nobody is declared.",
        "# [contact]",
        '# organisation = "Nom de votre organisme"',
        '# courriel = "sig@exemple.fr"',
        "",
        "# What every national file must confirm.",
        "[expected]",
    ]
    lines += [f"{name} = {value}" for name, value in territory.expected.model_dump(exclude_none=True).items()]
    text = "\n".join(lines) + "\n"
    if Territory.model_validate(tomllib.loads(text)) != territory:
        raise AssertionError(f"the file does not read back as {territory!r}")
    return text


def _value(value: object) -> str:
    """Return a text, a number or an array as TOML writes it; a wide array takes several lines."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) < _WIDTH or not isinstance(value, tuple):
        return text
    indent = "    "
    lines = textwrap.wrap(f"{text[1:-1]},", _WIDTH, initial_indent=indent, subsequent_indent=indent)
    return "\n".join(["[", *lines, "]"])
