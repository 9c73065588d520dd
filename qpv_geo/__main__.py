"""``python -m qpv_geo``."""

from qpv_geo.cli import main

main()
