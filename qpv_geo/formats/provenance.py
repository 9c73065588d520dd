"""Where the data come from, as the release says it: tables ``sources`` and ``controles``, one sentence."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date

import pandas as pd

from qpv_geo.checks import Check
from qpv_geo.errors import PublicationError
from qpv_geo.french import ORIGINS, french_date
from qpv_geo.sources.catalogue import Catalogue, Source
from qpv_geo.sources.plan import source_id_of
from qpv_geo.sources.raw import RawFile, usable

Raws = Mapping[str, RawFile | None]

_COMMUNES = "communes_epci"
# In the name of the file of the communes of France that is generalised to a kilometre.
_COARSE = "1000m"
_ABSENT = (
    "Source facultative qui n'a pas pu être lue : ni sur le site officiel, ni dans une copie gardée, ni dans "
    "l'extrait fourni avec le programme."
)


def present(raws: Raws) -> list[RawFile]:
    """Return the raw files that were read; none at all is a `PublicationError`."""
    files = [raw for raw in raws.values() if raw is not None and usable(raw)]
    if not files:
        raise PublicationError("no source was read: there is nothing to publish")
    return files


def newest_date(raws: Raws) -> date:
    """Return the date of the newest source, which stands for the clock wherever a file wants one."""
    return max(raw.date for raw in present(raws))


def origin_sentence(raws: Raws) -> str:
    """Say in French whether the data are live, mirrored, kept or the snapshot, and of which date."""
    groups = _by_origin(raws)
    if len(groups) == 1:
        ((origin, files),) = groups.items()
        return f"{ORIGINS[origin].sentence}{_ending(files)}."
    return f"Données de plusieurs origines : {' ; '.join(titles_by_origin(raws))}."


def titles_by_origin(raws: Raws) -> dict[str, list[str]]:
    """Return the titles of the sources read, by origin and date in French."""
    return {
        f"{ORIGINS[origin].several}{_ending(files)}": list(dict.fromkeys(raw.source.title for raw in files))
        for origin, files in _by_origin(raws).items()
    }


def _by_origin(raws: Raws) -> dict[str, list[RawFile]]:
    files = present(raws)
    groups = {origin: [raw for raw in files if raw.origin == origin] for origin in ORIGINS}
    return {origin: group for origin, group in groups.items() if group}


def _ending(files: list[RawFile]) -> str:
    """Return the date of the newest of the files, and what is known of their precision."""
    ending = f", du {french_date(max(raw.date for raw in files))}"
    if are_communes_generalised(files):
        ending += ", contours de communes généralisés"
    return ending


def are_communes_generalised(files: Iterable[RawFile]) -> bool:
    """Tell whether contours of communes are among the files, and generalised."""
    return any(is_generalised(raw.source.id, raw.provenance, raw.path.name) for raw in files)


def is_generalised(source: str, origin: str, file: str) -> bool:
    """Tell whether a file holds contours of communes that are wrong by up to `COMMUNES_PRECISION`.

    They are the snapshot's, whose other files are official ones, cut out, and the edition of a kilometre.
    """
    snapshot = source == _COMMUNES and origin == "snapshot"
    return snapshot or (source.startswith("communes_") and _COARSE in file)


def sources_table(raws: Raws, catalogue: Catalogue, checks: Iterable[Check] = ()) -> pd.DataFrame:
    """Return table ``sources``, in the order of the catalogue: each source that is read or would have been.

    An absent source (None in `raws`, which are by key) has the message of its check ``source_absente``, or
    else a general sentence. Sources of the catalogue that are used and of which `raws` says nothing are
    ``sans objet``.
    """
    reasons = {check.subject: check.message for check in checks if check.code == "source_absente"}
    rows = []
    for source in catalogue.sources:
        keys = [key for key in raws if source_id_of(key) == source.id]
        for key in keys:
            if raw := raws[key]:
                state = _read(raw) if usable(raw) else _left_out(raw)
            else:
                state = {"etat": "absente", "motif": reasons.get(key, _ABSENT)}
            rows.append(_declaration(raw.source if raw else source) | {"source": key} | state)
        if source.used and not keys:
            rows.append(_declaration(source) | {"etat": "sans objet"})
    return pd.DataFrame(rows).astype({"taille_octets": "Int64"})


def _declaration(source: Source) -> dict[str, object]:
    return {
        "source": source.id,
        "theme": source.theme,
        "titre": source.title,
        "producteur": source.publisher,
        "millesime": source.vintage,
        "geographie": source.geography,
        "page": source.page,
        "licence": source.licence,
        "licence_url": source.licence_url,
        "note": source.note or None,
    }


def _read(raw: RawFile) -> dict[str, object]:
    return {
        "etat": "lue",
        "origine": raw.origin,
        "motif": raw.reason or None,
        "date_source": raw.date,
        "telecharge_le": raw.retrieved_at,
        "fichier": raw.path.name,
        "url": raw.url,
        "url_resolue": raw.resolved_url,
        "sha256": raw.sha256,
        "taille_octets": raw.size,
        "mention": attribution(raw),
    }


def _left_out(raw: RawFile) -> dict[str, object]:
    """Say why nothing of a source is used, and which file that was, if there is one."""
    state: dict[str, object] = {
        "etat": "écartée",
        "motif": f"Le fichier n'est pas conforme, rien n'en est repris : {raw.defect}",
    }
    if not raw.sha256:
        return state
    return _read(raw) | state | {"mention": None}


def attribution(raw: RawFile) -> str:
    """Return the mention that the Licence Ouverte asks for: who, what, date of the last update."""
    return f"{raw.source.attribution}, mise à jour du {french_date(raw.date)}"


def checks_table(checks: Iterable[Check]) -> pd.DataFrame:
    """Return table ``controles``, one row per distinct check, in the order in which they were made."""
    names = {
        "code": "controle",
        "subject": "objet",
        "outcome": "resultat",
        "expected": "attendu",
        "found": "trouve",
        "message": "message",
    }
    frame = pd.DataFrame([asdict(check) for check in checks], columns=list(names))
    return frame.rename(columns=names).drop_duplicates(ignore_index=True)
