"""How the values of an indicator spread over the QPV of metropolitan France.

A national file says so itself. For files that hold one territory, such as the snapshot, the program ships the
distributions of the national files: ``distribution.csv``, which ``qpv-geo sources distribution`` writes. By
them a rate published as a fraction, or in another column's place, is refused; counts are left alone, since a
table of other zones or years may hold any.
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
from qpv_geo.ingest.registry import Indicator
from qpv_geo.zones import is_metropolitan

SHIPPED = Path(__file__).with_name("distribution.csv")
_COLUMNS = ("indicateur", "millesime", "source", "fichier", "sha256", "absences", "valeurs")
# Ratios and sums carry the noise of binary fractions, which would separate equal values.
_DECIMALS = 6
_TENTHS = np.arange(1, 10)

Floats = NDArray[np.float64]
# A value or a median so many times what it should be is of another scale.
_TIMES = 10
# Rounded as published, a tenth of a median may be a little more than that: 4.5 for 44.8.
_ALMOST = _TIMES - 0.5
_POVERTY_RATE = "taux_pauvrete_60"


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


def compare_scale(
    indicator: Indicator, vintage: str, values: Floats, of_qpv: NDArray[np.bool_], shipped: Distributions
) -> tuple[str, str] | None:
    """Return what a column should hold by the national file's distribution, and what it holds; None if sound.

    A table that holds at least half as many QPV of metropolitan France as the national file is compared by
    its median. Of a smaller one, which may be of unusual quarters, a principal indicator (of layer ``qpv``)
    is refused if not one of its values lies between a tenth of the least and ten times the greatest of the
    distribution. A poverty rate below 1 % throughout is one published as a fraction, whatever the zones.

    The distribution is that of the table's vintage, else of the newest. `of_qpv` tells the rows of QPV of
    metropolitan France; `values` are NaN where one is missing.
    """
    present = values[np.isfinite(values)]
    if indicator.additive or not len(present):
        return None
    if indicator.id == _POVERTY_RATE and (present < 1).all():
        return "percentages", f"fractions, from {present.min():g} to {present.max():g}"
    vintages = [of_vintage for name, of_vintage in shipped if name == indicator.id]
    found = values[of_qpv & np.isfinite(values)]
    if not vintages or not len(found):
        return None
    reference = shipped[indicator.id, vintage if vintage in vintages else max(vintages)]
    named = reference.size + sum(reference.absences.values())
    if np.count_nonzero(of_qpv) >= named / 2:
        return _compare_medians(indicator, found, reference)
    return _compare_ranges(indicator, found, reference) if indicator.qpv_layer else None


def _compare_medians(indicator: Indicator, found: Floats, reference: Distribution) -> tuple[str, str] | None:
    # The nearest rank, as that of the distribution.
    median, usual = float(np.sort(found)[(len(found) - 1) // 2]), reference.median
    small, large = sorted((abs(median), abs(usual)))
    # Of a rare thing, rounded, 0 beside 0.4 says nothing; 0 beside 45 does.
    far = large >= 1 if small == 0 else median * usual < 0 or large >= _ALMOST * small
    if not far:
        return None
    unit = f" {indicator.unit}".rstrip()
    return (
        f"a median of about {usual:g}{unit}, as in {reference.origin.file}",
        f"{median:g}{unit}, the median of {len(found)} QPV",
    )


def _compare_ranges(indicator: Indicator, found: Floats, reference: Distribution) -> tuple[str, str] | None:
    least, greatest = reference.levels[[0, -1]]
    # Ten times further from 0, also where values are negative.
    low, high = min(least / _TIMES, least * _TIMES), max(greatest / _TIMES, greatest * _TIMES)
    if ((found >= low) & (found <= high)).any():
        return None
    unit = f" {indicator.unit}".rstrip()
    return (
        f"values from {least:g} to {greatest:g}{unit}, as in {reference.origin.file}",
        f"{found.min():g} to {found.max():g}{unit} over {len(found)} QPV, each of them ten times off",
    )
