"""Rules that a published release keeps: one function per rule, its docstring is the public text.

What one query can tell of a GeoPackage is in ``geopackage.toml``. Codes are never renumbered; a rule that
goes takes its code with it. Each is one of the rules of its kind of file.
"""
