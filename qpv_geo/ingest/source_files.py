"""The raw files of a run, read one after the other: bad ones are left out, or raised together."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from qpv_geo.checks import Check
from qpv_geo.errors import ContractError, SourceContentError, SourceUnavailableError
from qpv_geo.sources.catalogue import Catalogue, TableName
from qpv_geo.sources.plan import source_id_of
from qpv_geo.sources.raw import RawFile, usable

T = TypeVar("T")

# Tables without which there is no release, whichever source fills them.
_INDISPENSABLE: tuple[TableName, ...] = ("contours", "communes")


class SourceFiles:
    """Reads raw files; keeps the checks of those that are sound and what is wrong with the others.

    A bad file is an error if its source is required or its table indispensable, or if it is the territory's
    own; any other is left out. `raws` are by key (see `plan.Wanted`), None for a source that is absent.
    """

    def __init__(self, raws: Mapping[str, RawFile | None], catalogue: Catalogue) -> None:
        self._raws = raws
        self._catalogue = catalogue
        self.usable = {key: raw for key, raw in raws.items() if raw and usable(raw)}
        self.checks: list[Check] = []
        self.defects = {key: raw.defect for key, raw in raws.items() if raw and raw.defect}
        self._errors: list[ContractError | SourceContentError] = []

    def of(self, table: TableName) -> dict[str, RawFile]:
        """Return the usable raw files that fill a table, by key: first choices before second ones."""
        ids = [source.id for source in self._catalogue.filling(table)]
        return {
            key: raw
            for source_id in ids
            for key, raw in self.usable.items()
            if source_id_of(key) == source_id
        }

    def require(self) -> None:
        """Raise `SourceUnavailableError` if a table without which there is no release cannot be filled."""
        for table in _INDISPENSABLE:
            if not self.of(table):
                named = " or ".join(source.id for source in self._catalogue.filling(table))
                raise SourceUnavailableError(f"source {named} is absent, and there is no release without it")
        if not self.of("statistics"):
            named = ", ".join(source.id for source in self._catalogue.filling("statistics"))
            raise SourceUnavailableError(f"no statistics: give one of {named}")

    def read_first(self, table: TableName, reader: Callable[[RawFile], T]) -> T | None:
        """Return what a reader makes of the first choice that is there; None if none is, or it is bad."""
        key = next(iter(self.of(table)), None)
        return None if key is None else self.read([key], lambda: reader(self.usable[key]))

    def read(self, keys: Sequence[str], reader: Callable[[], T]) -> T | None:
        """Return what a reader of some raw files gives; None if one of them is bad."""
        try:
            return reader()
        except (ContractError, SourceContentError) as error:
            raws = [self.usable[key] for key in keys]
            if any(
                raw.source.required or raw.provenance == "local" or {*_INDISPENSABLE} & {*raw.source.fills}
                for raw in raws
            ):
                self._errors.append(error)
            else:
                defect = str(error)
                for raw in raws:
                    # The sentence is published: it names the file, not where it lies on this machine.
                    defect = defect.replace(str(raw.path), raw.path.name)
                self.defects |= dict.fromkeys(keys, defect)
            return None

    def keep_checks(self, result: tuple[T, Sequence[Check]] | None) -> T | None:
        """Keep the checks of what was read, and return the rest."""
        if result is None:
            return None
        self.checks += result[1]
        return result[0]

    def raise_errors(self) -> None:
        """Raise the errors of all files as one; a broken contract outweighs a bad file."""
        if not self._errors:
            return
        worst = next((error for error in self._errors if isinstance(error, ContractError)), self._errors[0])
        if len(self._errors) == 1:
            raise worst
        raise type(worst)("\n".join(map(str, self._errors))) from worst
