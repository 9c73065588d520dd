"""Official QPV contours and INSEE statistics, joined with a territory and published for GIS users."""

from importlib.metadata import version

__version__ = version("qpv-geo")
