"""Raw files become checked tables: codes, columns, geometries and figures, each held to a contract.

`tables.read_tables` is the way in, `additions.declarations` gives the catalogue and registry that it needs. A
source has a reader (`contours`, `communes`, `facilities`, …); those of figures share `statistics`.
`contracts.Problems` collects what is wrong with a file, `source_files` decides which faults stop a run.
"""
