"""The last gates: what goes wrong after a release was written is not published."""

import pytest

from qpv_geo.errors import QpvGeoError
from qpv_geo.pipeline.job import Job
from qpv_geo.pipeline.one import run
from qpv_geo.releases.formats import chosen_formats
from qpv_geo.settings import Settings
from qpv_geo.sources.fetch import Policy
from qpv_geo.territory import Territory
from tests.faults.gates import GATES, Damage, assert_nothing_published, damage_drafts


@GATES
def test_a_run_passes_every_gate(
    besancon: Territory, settings: Settings, monkeypatch: pytest.MonkeyPatch, damage: Damage, words: str
) -> None:
    damage_drafts(monkeypatch, damage)
    with pytest.raises(QpvGeoError, match=words):
        run(Job(besancon, settings, Policy(offline=True), formats=chosen_formats(pages=False)))
    assert_nothing_published(settings)
