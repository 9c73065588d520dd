"""Commands that are more than a few lines; `qpv_geo.cli` gathers them."""
