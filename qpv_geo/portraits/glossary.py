"""The words that pages explain to people who are no statisticians."""

from functools import cache
from pathlib import Path

from pydantic import Field

from qpv_geo.french import capitalised
from qpv_geo.frozen import Frozen
from qpv_geo.statuses import STATUSES, VALUED
from qpv_geo.toml_file import read_declarations

_GLOSSARY = Path(__file__).with_name("glossary.toml")


class Term(Frozen):
    """A word and its meaning, in French sentences."""

    term: str
    meaning: str = Field(min_length=1)


@cache
def glossary(path: Path = _GLOSSARY) -> tuple[Term, ...]:
    """Return the declared words, then the reasons of a missing value."""
    with read_declarations(path, "the glossary is not valid") as entries:
        terms = tuple(Term(term=term, **entry) for term, entry in entries.items())
    reasons = (status for code, status in STATUSES.items() if code not in VALUED)
    return terms + tuple(
        Term(term=capitalised(words), meaning=f"{capitalised(sentence)}.") for words, sentence in reasons
    )
