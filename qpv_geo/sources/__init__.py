"""What to get and how it is kept: the catalogue, downloads, the store, and the members of archives.

`catalogue.load_catalogue` declares every source, `fetch.fetch` gets one, `fetch.accept` keeps what passed the
contracts. `archive` reads members of a `raw.RawFile`, whatever it is packed in; `content` refuses what is not
the declared kind of file.
"""
