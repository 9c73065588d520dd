"""Layers to a release: files, provenance, verification."""
