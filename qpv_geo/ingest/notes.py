"""Notes of the producers: why cells of a block of columns are blank, or how carefully to read them."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from qpv_geo.ingest.measures import Measure
from qpv_geo.ingest.text_table import MARKS, Dictionary, TextTable
from qpv_geo.statuses import OK, SECRET

# Notes of zones of which there is nothing to say; `so` where there is no value to explain.
_NOTHING = frozenset({"", "0", *MARKS})
_SECRET = re.compile(r"\bsecret\b", re.IGNORECASE)
_NOTE = re.compile(r"(\w+_)?NOTE")


def explain_blanks(
    measures: Sequence[Measure], table: TextTable, notes: Mapping[str, str], dictionary: Dictionary
) -> None:
    """Write what the notes say beside the cells that they are about, into the measures.

    A note beside a blank is its reason, and one that names statistical secrecy gives the status ``secret``. A
    note beside a value is a caution: the value stays. `notes` gives the note of each measuring column,
    `dictionary` the words of its codes.
    """
    by_note = {
        note: _explanations(table.cells[note].to_numpy(dtype=object), note, dictionary)
        for note in set(notes.values())
    }
    for measure in (measure for measure in measures if measure.column in notes):
        words = by_note[notes[measure.column]]
        noted = np.array([text is not None for text in words.tolist()])
        measure.remark[noted] = words[noted]
        secret = np.array([bool(text and _SECRET.search(text)) for text in words])
        measure.status[(measure.texts == "") & secret & (measure.status != OK)] = SECRET


def _explanations(codes: np.ndarray, note: str, dictionary: Dictionary) -> np.ndarray:
    """Return the words of each row's note, None where it says nothing."""
    words = _words(note, dictionary)
    texts = {
        code: f"{note} = {code} : {words.get(code, 'motif que le dictionnaire du producteur ne donne pas')}"
        for code in set(codes)
        if code.lower() not in _NOTHING
    }
    return np.array([texts.get(code) for code in codes], dtype=object)


def _words(note: str, dictionary: Dictionary) -> Mapping[str, str]:
    """Return the words of a note's codes; those of the dictionary's only note, if it is spelled otherwise."""
    exact = dictionary.modalities.get(note.upper())
    if exact:
        return exact
    named = [values for name, values in dictionary.modalities.items() if _NOTE.match(name)]
    return named[0] if len(named) == 1 else {}
