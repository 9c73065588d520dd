"""What a territory's ledger remembers."""

from qpv_geo.releases.ledger import Ledger


def test_the_fifty_newest_refusals_are_remembered_each_release_once() -> None:
    ledger = Ledger()
    for number in (*range(60), 30):
        ledger = ledger.with_refused(f"r{number}", (f"sha{number}",), "drop")
    expected = [f"r{number}" for number in (*range(10, 30), *range(31, 60), 30)]
    assert [refusal.release for refusal in ledger.refusals] == expected
    assert ledger.refusal("r9", ("sha9",)) is None
    assert ledger.refusal("another", ("sha10",)) is not None


def test_a_release_that_is_current_again_is_no_longer_refused() -> None:
    refused = Ledger().with_current("r1", "refresh").with_refused("r1", ("sha1",), "rollback")
    assert not refused.was_current("r1")
    again = refused.with_current("r1", "publish")
    assert again.was_current("r1")
    assert again.refusals == ()
