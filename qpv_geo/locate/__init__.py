"""Points, polygons and lines located in the QPV of a release; nothing here is needed to make a release.

`files.locate_file` writes a user's file again with columns added, whichever `tables.PointTable` it is; `one`
answers for one point or address; `locator.Locator` locates arrays, `partitions.PartitionLocator` the
partitions of a table. `layers` adds the zones of other layers, `dates` knows which QPV were in force when,
`report` counts. `answers`, `shapes` and `index.LocateIndex` do the geometry.
"""
