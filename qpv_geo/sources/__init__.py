"""What to get and how it is kept: the catalogue of official sources, their download and the store."""
