"""What QGIS shows: default styles and metadata inside the GeoPackage, and a project beside it.

QGIS itself is not needed to write them: templates follow the format of QGIS 3.22, which later versions read,
and the tests open, render and print what they give in a real QGIS.
"""
