"""The command line, as users run it, and in this process where only what it says matters."""

import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from qpv_geo.cli import main

Finished = subprocess.CompletedProcess[str]


def qpv_geo(*arguments: str | Path, **environment: str) -> Finished:
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "qpv_geo", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | environment,
    )


def qpv_geo_here(*arguments: str | Path) -> Finished:
    """Run a command in this process, which spares a second of imports."""
    code: object = 0
    words = ["qpv-geo", *map(str, arguments)]
    log = logging.getLogger("qpv_geo")
    with (
        patch.object(sys, "argv", words),
        # A refresh writes its log to the standard error of this moment, which is gone afterwards; those that
        # another test had its log written to are gone now.
        patch.object(log, "handlers", []),
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as err,
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Finished(words, code, out.getvalue(), err.getvalue())
