"""Pages that people open: a portrait of each QPV and an index, each one HTML file that needs nothing else.

The face of the room is `pages.write_portraits`.
"""
