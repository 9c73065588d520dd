"""French words for what is coded: every status and every kind of zone has its own, wherever it is read."""

from pathlib import Path
from typing import get_args

import pytest

from qpv_geo import statuses
from qpv_geo.analysis.aggregate import COMPUTED_ZONES
from qpv_geo.checks import Outcome
from qpv_geo.formats.fields import load_layers, published_layers
from qpv_geo.french import AGREEMENT_WORDS, CHECK_WORDS, ORIGIN_WORDS, ZONE_WORDS
from qpv_geo.ingest.registry import load_registry
from qpv_geo.qgis.cartography import load_cartography
from qpv_geo.sources.catalogue import Zone
from qpv_geo.sources.raw import Origin
from qpv_geo.statuses import ABSENCES, STATUSES, VALUED
from qpv_geo.typography import typeset

DECLARED = {value for name, value in vars(statuses).items() if name.isupper() and isinstance(value, str)}
GUIDE = (Path(__file__).parents[1] / "docs" / "guide-sig.md").read_text(encoding="utf-8")


def test_every_status_has_words_and_a_sentence_of_its_own() -> None:
    assert set(STATUSES) == DECLARED == {*VALUED, *ABSENCES}
    for part in ("words", "sentence"):
        said = [getattr(status, part) for status in STATUSES.values()]
        assert all(said)
        assert len(set(said)) == len(said)


def test_every_kind_of_zone_has_words_of_its_own() -> None:
    assert set(ZONE_WORDS) == {*get_args(Zone), *COMPUTED_ZONES}
    assert len(set(ZONE_WORDS.values())) == len(ZONE_WORDS)


@pytest.mark.parametrize("field", ["statistiques.statut", "qpv.taux_pauvrete_60_statut"])
def test_qgis_says_statuses_in_these_words(field: str) -> None:
    words = load_cartography().words_of(*field.split("."))
    assert words == {status: said.words for status, said in STATUSES.items()}


def test_qgis_says_zones_in_these_words() -> None:
    assert load_cartography().words_of("statistiques", "zone") == {
        zone: typeset(words) for zone, words in ZONE_WORDS.items()
    }


def test_every_origin_and_outcome_has_words() -> None:
    assert set(ORIGIN_WORDS) == set(get_args(Origin))
    assert set(CHECK_WORDS) == set(get_args(Outcome))
    look = load_cartography()
    assert look.words_of("sources", "origine") == ORIGIN_WORDS
    assert look.words_of("controles", "resultat") == CHECK_WORDS
    assert look.words_of("concordances", "resultat") == AGREEMENT_WORDS


def test_the_dictionary_and_the_guide_name_every_status() -> None:
    field = load_layers()["statistiques"].fields["statut"].description
    of_qpv = published_layers(load_registry())["qpv"].fields["taux_pauvrete_60_statut"].description
    for status in STATUSES:
        assert status in field
        assert status in of_qpv
        assert f"| `{status}` |" in GUIDE


def test_the_guide_names_every_kind_of_zone() -> None:
    for zone in ZONE_WORDS:
        assert f"`{zone}`" in GUIDE
