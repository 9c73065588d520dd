"""Write the pages that repeat declared data; run it after a change of what they repeat."""

from collections.abc import Iterator
from pathlib import Path

from qpv_geo.analysis.accessibility import load_parameters
from qpv_geo.analysis.health_plan import HealthPlan, load_health_plan
from qpv_geo.checks import CHECKS
from qpv_geo.formats.fields import Layer, published_layers
from qpv_geo.ingest.registry import Indicator, Registry, load_registry
from qpv_geo.sources.catalogue import (
    Catalogue,
    DataGouvAddress,
    InseePageAddress,
    NoAddress,
    Source,
    TerritoryFileAddress,
    WfsAddress,
    load_catalogue,
)

DOCS = Path(__file__).parent

_INTRODUCTION = """\
# Sources

<!-- Generated from qpv_geo/sources/catalogue.toml by docs/generate.py: change them, not this page. -->

Every official file that qpv-geo knows, as declared in `qpv_geo/sources/catalogue.toml`.

- **Use**: *required* (there is no release without it), *optional* (its part is left out of the release,
  which says so) or *not read yet* (its address and shape are noted for later work).
- **Evidence**: *seen* means that a genuine file was looked at, and on which day. *As declared* means that
  address and shape come from documentation alone: a refresh that meets something else leaves the source out,
  or stops if it is required, and says what it expected, what it found and which entry of the catalogue to
  change.
- **Geography**: the date of the geography that the codes belong to. Statistics of one geography are never
  joined to another.

`qpv-geo sources list` shows the same list; `qpv-geo sources check` asks each live address whether it still is
as declared.

All sources are published under the Licence Ouverte 2.0 (Etalab) unless their section says otherwise. Reuse
asks for the name of the source and the date of its last update, and must not suggest that the producers
endorse it.
"""


_DICTIONARY = """\
# Dictionnaire des données

<!-- Produit par docs/generate.py d'après formats/fields.toml, ingest/indicators.toml et checks.toml. -->

Les couches et les champs publiés, les contrôles, puis les indicateurs de la table `statistiques`. Un effectif
additif peut être sommé sur des zones disjointes ; un rapport se recalcule alors en divisant la somme de ses
numérateurs par celle de ses dénominateurs ; rien d'autre ne se somme ni ne se moyenne.
"""
_KINDS = {"count": "effectif", "rate": "taux", "median": "médiane", "index": "indice", "amount": "montant"}


def dictionary_page(registry: Registry) -> str:
    """Return ``docs/dictionnaire.md``: published layers and fields, checks, then indicators by theme."""
    parts = [_DICTIONARY, "## Couches et tables", ""]
    for layer in published_layers(registry).values():
        parts += _layer(layer)
    parts += ["## Contrôles", "", "| Code | Ce qui est contrôlé |", "|---|---|"]
    parts += [*(f"| `{code}` | {sentence} |" for code, sentence in CHECKS.items()), ""]
    parts += ["## Indicateurs", ""]
    for theme in dict.fromkeys(indicator.theme for indicator in registry.indicators):
        rows = [_indicator(i) for i in registry.indicators if i.theme == theme]
        titles = "Indicateur | Libellé | Unité | Nature | Calcul sur un ensemble | Source | Zones | Codes"
        head = [f"| {titles} |"]
        parts += [f"### {theme}", "", *head, "|---|---|---|---|---|---|---|---|", *rows, ""]
    return "\n".join(parts)


def _layer(layer: Layer) -> list[str]:
    rows = [
        f"| `{name}` | {field.alias} | {field.type} | {field.unit} | {field.description} |"
        for name, field in layer.fields.items()
    ]
    form = layer.geometry or "sans géométrie"
    head = ["| Champ | Alias | Type | Unité | Description |", "|---|---|---|---|---|"]
    return [f"### `{layer.name}`", "", f"{layer.title} ({form}). {layer.abstract}", "", *head, *rows, ""]


def _indicator(indicator: Indicator) -> str:
    codes = dict.fromkeys(code for spellings in indicator.codes.values() for code in spellings)
    rule = "aucun"
    if indicator.additive:
        rule = "somme"
    elif indicator.numerator:
        rule = f"`{indicator.numerator}` / `{indicator.denominator}`"
    elif indicator.sum_of:
        rule = " + ".join(f"`{term}`" for term in indicator.sum_of) + ", par zone"
    cells = (
        f"`{indicator.id}`",
        indicator.label,
        indicator.unit,
        _KINDS[indicator.kind],
        rule,
        f"`{indicator.source}`",
        ", ".join(indicator.zones),
        ", ".join(f"`{code}`" for code in codes),
    )
    return f"| {' | '.join(cells)} |"


def sources_page(catalogue: Catalogue) -> str:
    """Return ``docs/sources.md``: a table of all sources, then one section each."""
    table = [
        "| Source | Publisher | Vintage | Geography | Use | Evidence |",
        "|---|---|---|---|---|---|",
        *(
            f"| [`{source.id}`](#{source.id}) | {source.publisher} | {source.vintage} | "
            f"{source.geography or '-'} | {_use(source)} | {_evidence(source)} |"
            for source in catalogue.sources
        ),
    ]
    sections = [_section(source) for source in catalogue.sources]
    return "\n".join([_INTRODUCTION, *table, "", *sections])


def _section(source: Source) -> str:
    lines = [
        f"## {source.id}",
        "",
        f"*{source.title}*, {source.publisher}. {_use(source).capitalize()}, {_evidence(source)}.",
        "",
        *([f"- Page: <{source.page}>"] if source.page else []),
        f"- Address: {_address(source)}",
    ]
    if source.alternative_to:
        lines.append(
            f"- Second choice, asked for if [`{source.alternative_to}`](#{source.alternative_to}) is absent"
        )
    if source.edition_of:
        lines.append(f"- Another edition of [`{source.edition_of}`](#{source.edition_of})")
    if source.hosts:
        lines.append(f"- Downloads may touch: {', '.join(f'`{host}`' for host in source.hosts)}")
    if not isinstance(source.address, TerritoryFileAddress):
        lines += [
            f"- In a mirror: {', '.join(f'`{path}`' for path in source.mirror) or 'not laid out'}",
            f"- Format: {source.format}, at most {source.max_bytes // 1024**2} MiB",
            f"- Vintage {source.vintage}, edition of {source.published}",
        ]
    if source.member:
        lines.append(f"- File in the archive: `{source.member}`")
    lines += [f"- Read as well in format {form}: `{member}`" for form, member in source.forms.items()]
    if source.key:
        lines.append(f"- Key: {_spellings(source.key)}")
    if source.columns:
        lines.append(f"- Columns: {', '.join(_spellings(names) for names in source.columns.values())}")
    lines += [f"- Rows expected, {scope}: {count}" for scope, count in source.counts.items()]
    lines.append(f"- Licence: [{source.licence}]({source.licence_url})")
    if source.seen:
        lines.append(f"- Seen on {source.seen}: {source.seen_as}")
    lines += _comparability(source)
    if source.note:
        lines.append(f"- Note: {source.note}")
    return "\n".join([*lines, ""])


def _comparability(source: Source) -> Iterator[str]:
    """Say which vintages are compared, where that is not as usual."""
    if source.comparable_from:
        yield f"- Vintages from {source.comparable_from} on are not compared with those before"
    if source.comparable_after != Source.model_fields["comparable_after"].default:
        yield f"- Vintages compared: {source.comparable_after} years apart or more"


def _address(source: Source) -> str:  # noqa: PLR0911 - one for each kind
    match source.address:
        case DataGouvAddress(dataset=dataset, resource=str(resource)):
            return f"data.gouv.fr, resource `{resource}` of dataset `{dataset}` (its stable redirect)"
        case DataGouvAddress(dataset=dataset, pattern=pattern):
            return f"data.gouv.fr, the resource of dataset `{dataset}` that matches `{pattern}`"
        case InseePageAddress(page=page, pattern=pattern):
            return f"the link of INSEE's page {page} that matches `{pattern}`"
        case TerritoryFileAddress(key=key):
            return f"the file that `{key}` of the territory's configuration names"
        case WfsAddress() as wfs:
            types = ", ".join(f"`{name}`" for name in wfs.types)
            return (
                f"WFS `{wfs.url}`, {types} within {wfs.metres:g} m of the QPV, {wfs.page} features a "
                f"request; not for France, nor if it is more than {wfs.square_kilometres:g} km²"
            )
        case NoAddress():
            return "none is known: had from a mirror, the store or the snapshot"
        case plain:
            return f"`{plain.url}`"


def _use(source: Source) -> str:
    if not source.used:
        return "not read yet"
    return "required" if source.required else "optional"


def _evidence(source: Source) -> str:
    return f"seen on {source.seen}" if source.seen else "as declared"


def _spellings(names: tuple[str, ...]) -> str:
    return " or ".join(f"`{name}`" for name in names)


def health_page(page: str) -> str:
    """Return ``docs/sante.md`` with its tables made anew: lines, categories of care, parameters."""
    plan, registry = load_health_plan(), load_registry()
    tables = {
        "lignes": _health_lines(plan, registry),
        "catégories": [
            "| Catégorie | Identifiant | Types de la BPE |",
            "|---|---|---|",
            *(
                f"| {one.libelle} | `{code}` | {', '.join(one.types)} |"
                for code, one in plan.categories.items()
            ),
        ],
        "paramètres": _catchments(),
    }
    for name, rows in tables.items():
        before, mark, rest = page.partition(f"<!-- {name} : ")
        comment, _, rest = rest.partition("-->\n")
        _, end, after = rest.partition("<!-- fin -->")
        table = "\n".join(rows)
        page = f"{before}{mark}{comment}-->\n\n{table}\n\n{end}{after}"
    return page


def _health_lines(plan: HealthPlan, registry: Registry) -> list[str]:
    rows = []
    for heading in plan.rubriques:
        for line in heading.indicateurs:
            indicator = registry.by_id[line.id]
            zones = ", ".join(plan.mailles[zone] for zone in line.zones)
            rows.append((heading.titre, line.id, indicator.label, zones, indicator.source))
        for care in heading.offre:
            names = care.ligne.format("<catégorie>"), care.libelle.format("…")
            rows.append((heading.titre, *names, care.maille, "bpe"))
        if access := heading.acces:
            names = access.ligne.format("<profession>"), access.libelle.format("…")
            zones = ", ".join(plan.mailles[zone] for zone in access.zones)
            rows.append((heading.titre, *names, zones, access.table))
    head = ["| Rubrique | Ligne | Mesure | Maille | Source |", "|---|---|---|---|---|"]
    return head + [
        f"| {heading} | `{line}` | {label} | {mesh} | `{source}` |"
        for heading, line, label, mesh, source in rows
    ]


def _catchments() -> list[str]:
    parameters = load_parameters()
    rows = [("centraux", parameters.central), *(("variante", one) for one in parameters.variantes.values())]
    return [
        "| Paramètres | | Jusqu'à (m) et poids |",
        "|---|---|---|",
        *(
            f"| {kind} | {one.libelle} | "
            + " ; ".join(f"{band.jusqu_a:g} : {band.poids:g}".replace(".", ",") for band in one.bandes)
            + " |"
            for kind, one in rows
        ),
    ]


if __name__ == "__main__":
    DOCS.joinpath("sources.md").write_text(sources_page(load_catalogue()), encoding="utf-8")
    DOCS.joinpath("dictionnaire.md").write_text(dictionary_page(load_registry()), encoding="utf-8")
    HEALTH = DOCS / "sante.md"
    HEALTH.write_text(health_page(HEALTH.read_text(encoding="utf-8")), encoding="utf-8")
