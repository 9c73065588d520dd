"""Layers to files: one writer a format, the report and the descriptor.

`base` says what a release is made from (`ReleaseSpec`), what it holds (`Content`) and what a `Format` is.
`frames.conform` brings layers to the form that `fields` declares; every writer takes a folder and a content.
"""
