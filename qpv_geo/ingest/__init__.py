"""Raw files to checked tables: readers, contracts and the repair of geometries."""
