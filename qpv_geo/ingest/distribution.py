"""How the values of an indicator spread over the QPV of metropolitan France.

A national file says so itself. For files that hold one territory, such as the snapshot, the program ships the
distributions of the national files: ``distribution.csv``, which ``qpv-geo sources distribution`` writes.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qpv_geo.errors import ConfigurationError
from qpv_geo.zones import is_metropolitan

SHIPPED = Path(__file__).with_name("distribution.csv")
_COLUMNS = ("indicateur", "millesime", "source", "fichier", "sha256", "absences", "valeurs")
# Ratios and sums carry the noise of binary fractions, which would separate equal values.
_DECIMALS = 6
_TENTHS = np.arange(1, 10)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CountedFile:
    """The file in which a distribution was counted, or those of both terms of a computed indicator, in order.

    Their source ids, names and checksums are then joined by commas. A distribution that is `shipped` came
    with the program, because the file that was read is not national.
    """

    source: str
    file: str
    sha256: str
    shipped: bool


@dataclass(frozen=True, eq=False)
class Distribution:
    """The values of one indicator and vintage over the QPV of metropolitan France.

    `levels` are the published values, each once, ascending, and `counts` the number of QPV that have each;
    `absences` counts the QPV without a value, by status.
    """

    levels: Floats
    counts: NDArray[np.int64]
    absences: Mapping[str, int]
    origin: CountedFile

    @cached_property
    def text(self) -> str:
        """The values as the shipped file and layer ``repartition`` hold them: ``value*count``, ascending."""
        texts = (np.format_float_positional(level, trim="-") for level in self.levels)
        pairs = zip(texts, self.counts, strict=True)
        return " ".join(text if count == 1 else f"{text}*{count}" for text, count in pairs)

    @property
    def size(self) -> int:
        """Number of QPV that have a value."""
        return int(self.counts.sum())

    @cached_property
    def deciles(self) -> Floats:
        """The nine deciles: the least published values that at least so many tenths of the QPV do not exceed.

        This is the nearest rank: every one is the value of a QPV, none is interpolated.
        """
        ranks = -(-_TENTHS * self.size // 10)
        return self.levels[np.searchsorted(np.cumsum(self.counts), ranks)]

    @property
    def median(self) -> float:
        """The fifth decile."""
        return float(self.deciles[4])

    def ranks(self, values: Floats) -> NDArray[np.int64]:
        """Return 1 plus the number of QPV whose value is higher: 1 is the highest, equals share a rank."""
        below_or_equal = np.concatenate([[0], np.cumsum(self.counts)])
        return 1 + self.size - below_or_equal[np.searchsorted(self.levels, canonical(values), side="right")]


Distributions = Mapping[tuple[str, str], Distribution]
"""By indicator and vintage."""


def canonical(values: Floats) -> Floats:
    """Return values as they are compared with one another: without the noise of binary fractions."""
    return np.round(values, _DECIMALS)


def count_values(
    rows: pd.DataFrame, origins: Mapping[str, CountedFile]
) -> dict[tuple[str, str], Distribution]:
    """Count the values of each indicator and vintage over the QPV of metropolitan France.

    `rows` have the columns of `Statistics.rows`. Only zones ``qpv`` are counted, and sources among `origins`,
    the national files by source; what is computed from two sources if both are there. An indicator without
    any value is left out, and a QPV that the file does not name is not counted.
    """
    of_qpv = rows[rows["zone"] == "qpv"]
    counted = _origins_of(of_qpv["source"].unique(), origins)
    kept = of_qpv[of_qpv["source"].isin(counted)]
    codes, known = pd.factorize(kept["code"])
    inside = np.array([is_metropolitan(code) for code in known], dtype=bool)
    kept = kept[inside[codes]]
    values = canonical(kept["valeur"].to_numpy(dtype=np.float64))
    statuses, names = pd.factorize(kept["statut"])
    sources = kept["source"].to_numpy()
    found = {}
    groups = kept.groupby(["indicateur", "millesime"], sort=False).indices
    for key, places in groups.items():
        present = np.isfinite(values[places])
        if not present.any():
            continue
        levels, counts = np.unique(values[places][present], return_counts=True)
        absent = np.bincount(statuses[places][~present], minlength=len(names)).tolist()
        indicator, vintage = np.array(key, dtype=object).tolist()
        found[indicator, vintage] = Distribution(
            levels,
            counts.astype(np.int64),
            {str(name): count for name, count in zip(names, absent, strict=True) if count},
            counted[sources[places[0]]],
        )
    return found


def _origins_of(sources: Iterable[str], origins: Mapping[str, CountedFile]) -> dict[str, CountedFile]:
    """Return the origin of each source, or list of sources, whose files are all there."""
    found = {}
    for listed in sources:
        parts = [origins.get(source) for source in listed.split(", ")]
        known = [part for part in parts if part]
        if len(known) == len(parts):
            files = ", ".join(part.file for part in known), ", ".join(part.sha256 for part in known)
            found[listed] = CountedFile(listed, *files, shipped=False)
    return found


@cache
def load_distributions(path: Path = SHIPPED) -> Distributions:
    """Read the shipped distributions; raise `ConfigurationError` if the file is damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return dict(_parse(row) for row in csv.DictReader(stream, delimiter=";"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path}: the shipped distributions cannot be read ({error}); restore the file, or make it again "
            "with `qpv-geo sources distribution`"
        ) from error


def _parse(row: dict[str, str]) -> tuple[tuple[str, str], Distribution]:
    absences = (text.partition("*") for text in row["absences"].split())
    distribution = Distribution(
        *read_values(row["valeurs"]),
        {status: int(count) for status, _, count in absences},
        CountedFile(row["source"], row["fichier"], row["sha256"], shipped=True),
    )
    if not len(distribution.levels) or not (np.diff(distribution.levels) > 0).all():
        raise ValueError(f"{row['indicateur']} ({row['millesime']}): values are not ascending")
    return (row["indicateur"], row["millesime"]), distribution


def read_values(text: str) -> tuple[Floats, NDArray[np.int64]]:
    """Return the values and their numbers of QPV that `Distribution.text` holds."""
    pairs = [pair.partition("*") for pair in text.split()]
    counts = [int(count or 1) for _, _, count in pairs]
    return np.array([float(value) for value, _, _ in pairs]), np.array(counts, dtype=np.int64)


def write_distributions(distributions: Distributions, path: Path) -> None:
    """Write distributions as the shipped ones are kept: one line each, ``value*count``, ascending."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=";", lineterminator="\n")
        writer.writerow(_COLUMNS)
        for (indicator, vintage), distribution in sorted(distributions.items()):
            origin = distribution.origin
            absences = sorted(distribution.absences.items())
            writer.writerow(
                [
                    *(indicator, vintage, origin.source, origin.file, origin.sha256),
                    " ".join(f"{status}*{count}" for status, count in absences),
                    distribution.text,
                ]
            )
