"""HTTP: the current releases as OGC API Features, and `locate` as an OGC API process, by pygeoapi.

Needs the extra ``api``. Nothing but ``qpv-geo api`` imports this room.
"""
