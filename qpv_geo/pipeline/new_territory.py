"""Write a territory file from the official geographic code (COG) and the contours."""

import difflib
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

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
_FRANCE = "france"
_NEAR = 5
_WIDTH = 100


@dataclass(frozen=True)
class NewTerritory:
    """A territory, and remarks in English on where the COG and the contours differ."""

    territory: Territory
    remarks: tuple[str, ...]


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
    members, communes, qpv = country.members, country.communes, country.qpv.dropna(subset="lib_dep")
    epci = dict(zip(members["siren_epci"], members["nom_epci"], strict=True))
    of_commune = dict(zip(members["insee_com"], members["siren_epci"], strict=True))
    names: dict[str, str] = epci | dict(zip(qpv["insee_dep"], qpv["lib_dep"], strict=True))
    places = names | dict(zip(communes["insee_com"], communes["nom_com"], strict=True))
    wanted = slug(name)
    for some in (names, places):
        found = [code for code, own in some.items() if wanted in {slug(own), slug(own_name(own))}]
        if len(found) == 1:
            (code,) = found
            siren = of_commune.get(code, code)
            what = f"{places[code]} is a commune of {epci.get(siren)} ({siren}), whose file this is; the code"
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


def describe_territory(code: str, country: Country) -> NewTerritory:
    """Describe a territory: its communes, its QPV, its CRS and the zones that it is compared with.

    `code` is the SIREN of an EPCI, the INSEE code of a commune or of a department, or ``france``. Raises
    `ConfigurationError` if it is unknown (similar ones are named), or has no contour of its communes, or no
    QPV.
    """
    kind = kind_of(code)
    communes, qpv = country.communes, country.qpv
    if kind == "france":
        expected = Expected(qpv=len(qpv), communes=len(communes))
        whole = Territory(id=_FRANCE, nom="France", genre="france", expected=expected)
        return NewTerritory(whole, tuple(_differences(set(country.members["insee_com"]), communes, whole)))
    draft = _draft(code, kind, communes, country)
    columns = {"epci": "siren_epci", "commune": "insee_com", "departement": "insee_dep"}
    mine = country.communes_with(columns[draft.genre], [draft.code])
    if mine.empty:
        raise ConfigurationError(
            f"{draft.nom} ({code}): the national file holds no contour of its communes (it has none of the "
            "overseas collectivities), so no release can be made of it"
        )
    codes = tuple(sorted(mine["insee_com"]))
    draft = draft.model_copy(update={"communes": codes})
    near = country.qpv_near(draft)
    inside = near[declares(near, draft)]
    if inside.empty:
        raise ConfigurationError(
            f"{draft.nom} ({code}) has no QPV among the {len(qpv)} of the national file: there is nothing to "
            "publish for it"
        )
    official = set(country.members_of(code)["insee_com"]) if kind == "epci" else set()
    remarks = tuple(_differences(official, mine, draft))
    return NewTerritory(_complete(draft, mine, inside, country), remarks)


def territories_with_qpv(country: Country) -> list[Territory]:
    """Return a territory for each EPCI of the COG that has a QPV, by SIREN."""
    qpv = country.qpv
    of_commune = dict(zip(country.members["insee_com"], country.members["siren_epci"], strict=True))
    known = set(of_commune.values())
    declared = {siren for codes in qpv["siren_epci"] for siren in codes_of(codes)} & known
    # Around Paris and in Mayotte, only the declared communes give the EPCI.
    declared |= {
        of_commune[code] for codes in qpv["insee_com"] for code in codes_of(codes) if code in of_commune
    }
    territories = [describe_territory(siren, country).territory for siren in sorted(declared)]
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


def _draft(code: str, kind: Kind, communes: pd.DataFrame, country: Country) -> Territory:
    """Return the territory with its codes and name, before anything is counted."""
    nothing = Expected(qpv=0)
    if kind == "epci":
        rows = country.members_of(code)
        if rows.empty:
            raise ConfigurationError(_unknown_epci(code, country))
        name = str(rows["nom_epci"].iloc[0])
        parts = country.communes_with("insee_com", rows["insee_com"])
        department = _most(parts["insee_dep"], rows["insee_com"])
        region = _most(parts["insee_reg"], ["00"])
        return Territory(
            id=slug(name),
            nom=own_name(name),
            epci=code,
            departement=department,
            region=region,
            expected=nothing,
        )
    if kind == "commune":
        rows = communes[communes["insee_com"] == code]
        if rows.empty:
            raise ConfigurationError(_unknown_commune(code, communes))
        row = rows.iloc[0].to_dict()
        return Territory(
            id=slug(f"{row['nom_com']}-{code}"),
            nom=row["nom_com"],
            genre="commune",
            commune=code,
            epci=row["siren_epci"],
            departement=row["insee_dep"],
            region=row["insee_reg"],
            expected=nothing,
        )
    return _draft_department(code, communes, country)


def _draft_department(code: str, communes: pd.DataFrame, country: Country) -> Territory:
    qpv = country.qpv
    names = qpv.loc[qpv["insee_dep"] == code, "lib_dep"].dropna()
    name = str(names.iloc[0]) if len(names) else f"Département {code}"
    if not (communes["insee_dep"] == code).any() and not len(names):
        known = ", ".join(sorted(set(communes["insee_dep"])))
        raise ConfigurationError(f"no department {code!r}; the national file knows {known}")
    region = communes.loc[communes["insee_dep"] == code, "insee_reg"].dropna()
    return Territory(
        id=slug(name),
        nom=name,
        genre="departement",
        departement=code,
        region=str(region.iloc[0]) if len(region) else None,
        expected=Expected(qpv=0),
    )


def _complete(draft: Territory, communes: pd.DataFrame, inside: pd.DataFrame, country: Country) -> Territory:
    """Add the CRS, the communes with a QPV, and the numbers to expect."""
    there = set(communes["insee_com"])
    named = {code for codes in inside["insee_com"] for code in codes_of(codes)}
    expected = Expected(
        qpv=len(inside),
        qpv_departement=country.qpv_in_department(draft.departement),
        communes=len(communes),
    )
    content = draft.model_dump() | {
        "communes_principales": tuple(sorted(named & there)),
        "epsg": zone_of(str(communes["insee_com"].iloc[0])).epsg,
        "expected": expected,
    }
    return Territory.model_validate(content)


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
    names = dict(zip(country.members["siren_epci"], country.members["nom_epci"], strict=True))
    qpv = country.qpv
    declaring = qpv[[code in codes_of(codes) for codes in qpv["siren_epci"]]]
    if len(declaring):
        of_commune = dict(zip(country.members["insee_com"], country.members["siren_epci"], strict=True))
        owners = {of_commune.get(c) for codes in declaring["insee_com"] for c in codes_of(codes)} - {None}
        listed = ", ".join(f"{siren} ({names[siren]})" for siren in sorted(filter(None, owners)))
        return (
            f"{code} is declared by {len(declaring)} QPV but is not an EPCI of the COG (an établissement "
            f"public territorial, or a city); give its EPCI: {listed}, or one of its communes"
        )
    # The SIREN of an EPCI often begins with 24 and its department, that of a newer one with 2000.
    beside = [siren for siren in names if siren[:4] == code[:4]] or names
    near = difflib.get_close_matches(code, beside, n=_NEAR, cutoff=0.7)
    listed = ", ".join(f"{siren} ({names[siren]})" for siren in near) or "none"
    return f"no EPCI {code} among the {len(names)} of the COG; codes that resemble it: {listed}"


def _unknown_commune(code: str, communes: pd.DataFrame) -> str:
    names = dict(zip(communes["insee_com"], communes["nom_com"], strict=True))
    beside = {other: name for other, name in names.items() if other[:2] == code[:2]}
    near = difflib.get_close_matches(code, beside, n=_NEAR, cutoff=0.6)
    listed = ", ".join(f"{other} ({names[other]})" for other in near) or "none"
    return (
        f"no commune {code} among the {len(names)} current ones with a contour (a delegated commune or a "
        f"municipal district is not one); codes that resemble it: {listed}"
    )


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
    if isinstance(value, tuple):
        return _array([_value(item) for item in value])
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


def _array(items: list[str]) -> str:
    """Return an array on one line, or on several if it is too wide."""
    if sum(map(len, items)) + 2 * len(items) < _WIDTH:
        return f"[{', '.join(items)}]"
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > _WIDTH:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join(["[", *lines, line, "]"])
