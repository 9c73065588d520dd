"""Pages that people open: one portrait per QPV and an index, each one HTML file that needs nothing else."""

from qpv_geo.portraits.pages import Edition, write_portraits

__all__ = ["Edition", "write_portraits"]
