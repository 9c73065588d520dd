"""Layers to files: what a release holds (`base.Content`), one writer a format, report and descriptor."""
