"""Points located in the QPV of a release; nothing here is needed to make a release.

`files.locate_file` writes a user's file again with columns added; `locator.Locator` locates arrays of points,
`partitions.PartitionLocator` the partitions of a table. `answers` and `index.LocateIndex` do the geometry.
"""
