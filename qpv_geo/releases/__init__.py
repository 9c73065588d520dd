"""Which release is current, which are held or refused, and why.

`draft` makes a release and publishes or holds it, `release` finds releases, `decisions` are what people
decide about them. `placement` moves their folders, `ledger` remembers; `changes` compares two releases and
`guards` bounds what may change unseen.
"""
