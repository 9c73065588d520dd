"""Pictures of the guide: what is drawn today looks like them.

``QPV_GEO_SCREENSHOTS`` names the folder in which they are renewed; look at them before they are committed.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GUIDE = Path(__file__).parents[1] / "docs" / "images"
# Pixels are compared in squares of this side: another version of a font or a browser moves a line by one.
SQUARE = 4
# Levels of 255 by which a square may differ, and the share of the squares that may differ more.
LEVELS, SHARE = 24, 0.01


def look_the_same(picture: Path, name: str) -> bool:
    """Tell whether a picture looks like that of the guide, or renew the latter."""
    drawn = Image.open(picture).convert("RGB")
    if folder := os.environ.get("QPV_GEO_SCREENSHOTS"):
        drawn.quantize(256).save(Path(folder) / name, optimize=True)
        return True
    shown = Image.open(GUIDE / name).convert("RGB")
    return drawn.size == shown.size and differing_share(drawn, shown) <= SHARE


def differing_share(one: Image.Image, other: Image.Image) -> float:
    """Return the share of the squares of two pictures of one size that differ in any colour."""
    return float((np.abs(_squares(one) - _squares(other)).max(axis=2) > LEVELS).mean())


def _squares(picture: Image.Image) -> NDArray[np.int16]:
    return np.asarray(picture.reduce(SQUARE), dtype=np.int16)
