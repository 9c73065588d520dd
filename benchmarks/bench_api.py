"""`qpv-geo api` under load. ``python benchmarks/bench_api.py [REQUESTS]``.

A server of its own serves the release of Besançon from the snapshot. Clients on a few connections ask it, one
request after the other on each, whether points within 20 km of the town are in a QPV: as many requests per
second as the server answers. The time of a processor that the server takes, which other work on the machine
does not change much, says how many one core can answer. Its memory is looked at after a tenth of the requests
and at the end.
"""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from figures import Figures

REQUESTS = 20_000
CONNECTIONS = 4
WANTED_RATE = 500.0
WANTED_MILLISECONDS = 20.0
GROWTH = 10.0
"""Megabytes that memory may grow by: less than half a kilobyte a request."""
COMMAND = (sys.executable, "-m", "qpv_geo")


async def ask(port: int, requests: int) -> list[float]:
    """Ask for points on one connection, and return how long each answer took in milliseconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken = []
    for _ in range(requests):
        point = [round(random.gauss(6.02, 0.1), 6), round(random.gauss(47.24, 0.08), 6)]
        body = json.dumps({"inputs": {"point": point}}).encode()
        path = "/besancon/processes/locate/execution"
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        start = time.perf_counter()
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in answer.splitlines() if line.lower().startswith("content-length"))
        content = json.loads(await reader.readexactly(int(length.split(":")[1])))
        taken.append((time.perf_counter() - start) * 1000)
        if content["en_qpv"] not in {"oui", "non", "incertain"}:
            raise SystemExit(f"{point}: {content}")
    writer.close()
    return taken


async def load(port: int, requests: int) -> list[float]:
    """Ask on all connections at once."""
    each = requests // CONNECTIONS
    return [
        time
        for taken in await asyncio.gather(*(ask(port, each) for _ in range(CONNECTIONS)))
        for time in taken
    ]


def measure(port: int, server: psutil.Process, requests: int) -> Figures:
    """Put load on the server, and return what it took."""
    asyncio.run(load(port, max(requests // 10, CONNECTIONS)))
    before, spent = server.memory_info().rss, sum(server.cpu_times()[:2])
    start = time.perf_counter()
    taken = asyncio.run(load(port, requests))
    elapsed, worked = time.perf_counter() - start, sum(server.cpu_times()[:2]) - spent
    figures = Figures()
    figures.at_least("requests per second of a processor", len(taken) / worked, WANTED_RATE)
    figures.noted("requests per second on the clock, the clients' work included", len(taken) / elapsed)
    for share in (50, 99):
        name = f"{share}th percentile"
        milliseconds = float(np.percentile(taken, share))
        if share == 99:  # noqa: PLR2004 - the one that is wanted
            figures.at_most(name, milliseconds, WANTED_MILLISECONDS, " ms")
        else:
            figures.noted(name, milliseconds, " ms")
    after = server.memory_info().rss
    grown = (after - before) / 1e6
    figures.at_most(
        f"growth of memory over {len(taken):,} requests",
        grown,
        GROWTH,
        " MB",
        f" (of {before / 1e6:,.0f} MB)",
    )
    return figures


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else REQUESTS
    with tempfile.TemporaryDirectory() as folder:
        data = ["--data", folder]
        subprocess.run([*COMMAND, "refresh", "--offline", *data], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        arguments = [*COMMAND, "api", "--port", "0", "--rate", "0", *data]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
            try:
                address = server.stdout.readline().split(": release")[0]
                figures = measure(
                    int(Path(address).parent.name.split(":")[-1]), psutil.Process(server.pid), requests
                )
            finally:
                server.terminate()
    figures.finish()


if __name__ == "__main__":
    main()
