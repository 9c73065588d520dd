"""Tests of qpv-geo: a package of its own, since a library may install one that is called `tests` too."""
