"""What QGIS shows: default styles and metadata inside the GeoPackage, and a project beside it.

The face of the room is `project.write_qgis`. QGIS is not needed to write them: templates follow the format of
QGIS 3.22, which later versions read, and the tests open, render and print the result in a real QGIS.
"""
