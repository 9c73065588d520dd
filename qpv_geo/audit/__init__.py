"""Is what was written what was read? A second reading of the raw files, and the rules of every file."""
