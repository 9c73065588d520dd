"""What a portrait says of 2015 where the contours of 2015 were not read."""

import pandas as pd
import pytest

from qpv_geo.portraits.evolution import evolution_of
from qpv_geo.portraits.sections import Absence

ABSENCES = {"evolution_2015_2024": Absence("Évolution du périmètre", "source non lue pour cette publication")}
TABLE = pd.DataFrame(
    [
        ("QN02503M", "QP025004", "Planoise"),
        ("QN00603M", "QP006003", "Ranguin-Frayère"),
        ("QN00603M", "QP006004", "Genêts"),
        ("QN02504M", "QP025005", None),
        ("QN02517N", None, None),
    ],
    columns=["code_qp", "code_qp_2015", "lib_qp_2015"],
)


@pytest.mark.parametrize(
    ("code", "origin"),
    [
        ("QN02503M", "issu de Planoise (QP025004)"),
        ("QN00603M", "issu de Ranguin-Frayère (QP006003) et Genêts (QP006004)"),
        ("QN02504M", "issu de QP025005"),
        ("QN02517N", "aucun prédécesseur parmi les QPV de 2015"),
        # A table of some QPV only says nothing of the others.
        ("QN02505M", ""),
    ],
)
def test_the_correspondence_table_stands_in_for_the_contours(code: str, origin: str) -> None:
    evolution = evolution_of(code, {"correspondance_2015": TABLE}, ABSENCES)
    assert evolution["origin"] == origin
    assert (evolution["pieces"], evolution["why"]) == ([], "source non lue pour cette publication")


def test_without_the_table_nothing_is_said() -> None:
    assert evolution_of("QN02503M", {}, ABSENCES)["origin"] == ""
