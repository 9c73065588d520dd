"""The files that describe a release: their names, and the checksums that the descriptor writes."""

import hashlib
from pathlib import Path

DESCRIPTOR, CATALOGUE = "datapackage.json", "catalogue.jsonld"
REPORT_JSON, REPORT_HTML = "rapport.json", "rapport.html"


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, as the descriptor writes it."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
