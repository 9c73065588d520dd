"""The words that pages explain to people who are no statisticians."""

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qpv_geo.errors import ConfigurationError
from qpv_geo.statuses import STATUSES, VALUED
from qpv_geo.toml_file import read_toml

_GLOSSARY = Path(__file__).with_name("glossary.toml")


class Term(BaseModel):
    """A word and its meaning, in French sentences."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    term: str
    meaning: str = Field(min_length=1)


@cache
def glossary(path: Path = _GLOSSARY) -> tuple[Term, ...]:
    """Return the declared words, then the reasons of a missing value."""
    try:
        terms = tuple(Term(term=term, **entry) for term, entry in read_toml(path).items())
    except (ValidationError, TypeError) as error:
        raise ConfigurationError(f"{path}: the glossary is not valid: {error}") from error
    reasons = (status for code, status in STATUSES.items() if code not in VALUED)
    return terms + tuple(
        Term(term=f"{words[0].upper()}{words[1:]}", meaning=f"{sentence[0].upper()}{sentence[1:]}.")
        for words, sentence in reasons
    )
