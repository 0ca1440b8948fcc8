# SPDX-License-Identifier: Apache-2.0
"""The echo rows: a server in a process of its own, asked by echo_load in another one."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import resource
import select
import subprocess
import tempfile
import time
from typing import BinaryIO, Iterator, Mapping, Sequence

from .tables import EchoLoad

START_TIMEOUT_S = 10
END_TIMEOUT_S = 10
_SAYS = "listening on "


class ServerFailed(Exception):
    """The server did not start, or did not end as it should. Says why, and its last words."""


def _raise_descriptor_limit() -> None:
    """For the processes that are started: a connection is a descriptor on each side."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _port_of(server: subprocess.Popen[bytes]) -> int:
    """What the server says in its first line. Raises ServerFailed."""
    assert server.stdout is not None
    said = b""
    end_s = time.monotonic() + START_TIMEOUT_S
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([server.stdout], [], [], max(0, end_s - time.monotonic()))
        if not ready:
            raise ServerFailed(
                f"the server did not say where it listens within {START_TIMEOUT_S} s"
            )
        part = os.read(server.stdout.fileno(), 256)
        if not part:
            raise ServerFailed("the server ended")
        said += part
    line = said.decode(errors="replace").strip()
    port = line.removeprefix(_SAYS)
    if not line.startswith(_SAYS) or not port.isdigit():
        raise ServerFailed(f"the server did not say where it listens, but: {line[:100]}")
    return int(port)


def _end(server: subprocess.Popen[bytes]) -> str | None:
    """Ends the server's stdin, with which it has to end. What is wrong with how it did, if anything."""
    assert server.stdin is not None and server.stdout is not None
    server.stdin.close()
    try:
        status = server.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
        return f"the server did not end within {END_TIMEOUT_S} s"
    finally:
        server.stdout.close()
    if status == 0:
        return None
    return f"the server ended with {f'signal {-status}' if status < 0 else f'status {status}'}"


def _last_line(errors: BinaryIO) -> str:
    errors.seek(0)
    said = errors.read().decode(errors="replace").strip().splitlines()
    return said[-1] if said else ""


@contextlib.contextmanager
def running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """The port and the process id of a server, which ends when its stdin does. Raises ServerFailed."""
    _raise_descriptor_limit()
    with tempfile.TemporaryFile() as errors:
        server = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        why: list[str | None] = []
        try:
            yield _port_of(server), server.pid
        except ServerFailed as failure:
            why.append(str(failure))
        except BaseException:
            _end(server)
            raise
        why += [_end(server)]
        if any(why):
            raise ServerFailed(": ".join(filter(None, [*why, _last_line(errors)])))


def last_cpu() -> int:
    """The one that the load generator has."""
    return max(os.sched_getaffinity(0))


@dataclasses.dataclass(frozen=True)
class Server:
    """How one is started."""

    command: Sequence[str]
    environment: Mapping[str, str]


def run_load(
    servers: Sequence[Server],
    load_program: pathlib.Path,
    load: EchoLoad,
    seconds: float,
    timeout_s: float,
) -> subprocess.CompletedProcess[str]:
    """Starts the servers, asks them, several of them in turn, and ends them: what echo_load came to.

    Raises ServerFailed, TimeoutExpired.
    """
    command = [str(load_program)]
    with contextlib.ExitStack() as stack:
        for server in servers:
            port, pid = stack.enter_context(running(server.command, server.environment))
            command += ["--port", str(port), "--server-pid", str(pid)]
        command += ["--connections", str(load.connections), "--seconds", str(seconds)]
        command += ["--cpu", str(last_cpu())]
        if load.rate:
            command += ["--rate", str(load.rate)]
        if load.idle:
            command += ["--idle", str(load.idle)]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
