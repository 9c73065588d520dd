"""Checked tables become the joined layers of a release: pure functions on (Geo)DataFrames.

`layers.build_layers` is the way in. `overlay` cuts contours by contours, `parts` joins them in each projected
CRS, `perimeters` adds the layers of optional sources, `statistics` and `aggregate` attach the figures.
"""
