"""Is what was written what was read? A second reading of the raw files, and the rules of every file.

`compare.compare_release` compares a release in the making with what was meant and with the raw files.
`verify.verify_release` applies the rules of `rules/` to any release, and needs nothing else.
`geopackage.read_geopackage` reads any GeoPackage.
"""
