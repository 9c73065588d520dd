"""Pages that people open: one portrait per QPV and an index, each one HTML file that needs nothing else."""
