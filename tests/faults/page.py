"""``docs/fiabilite.md``: what the matrix tried and what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "fiabilite.md"
_BEGIN, _END = "<!-- matrice : début -->\n", "<!-- matrice : fin -->\n"


@dataclass(frozen=True)
class Row:
    """What happened, in French, and its outcome: an exit code and what became of the release."""

    group: str
    case: str
    code: int
    outcome: str


def render(rows: Iterable[Row]) -> str:
    """Return the tables, one for each group, in the order in which groups appear."""
    rows = list(rows)
    parts = [f"{len(rows)} cas, chacun exécuté.\n"]
    for group in dict.fromkeys(row.group for row in rows):
        parts.append(f"\n### {group}\n\n| Ce qui arrive | Code | Ce que fait qpv-geo |\n|---|---|---|\n")
        parts += [f"| {r.case} | {r.code} | {r.outcome} |\n" for r in rows if r.group == group]
    return "".join(parts)


def written() -> str:
    """Return the tables as the page has them."""
    return PAGE.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0]


def rewrite(table: str) -> None:
    """Put these tables in the place of those that the page has."""
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(_BEGIN)
    PAGE.write_text(f"{head}{_BEGIN}{table}{_END}{rest.partition(_END)[2]}", encoding="utf-8")
