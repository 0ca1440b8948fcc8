# SPDX-License-Identifier: Apache-2.0
"""The rows and the competitors."""

from __future__ import annotations

import dataclasses
from typing import Callable

from . import builds


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of work. Its definition and its full size are the programs' own; see benches/README.md."""

    name: str
    quick_size: int  # With --quick.
    figure: str = "ns_per_op"  # What is compared; less is better.
    unit: str = "ns/op"
    further: tuple[str, ...] = ()  # Figures that are reported beside it.
    peer_row: str | None = None  # What the peers call the same work, if not by the row's name.


@dataclasses.dataclass(frozen=True)
class Competitor:
    """A program that runs rows, and how it is made."""

    name: str
    title: str  # In reports, with the version after it.
    build: Callable[[builds.Workspace], builds.Program]
    packages: tuple[str, ...]  # Of Debian 12.
    is_peer: bool = True
    preload: str | None = None  # A library that takes malloc's place, as the linker names it.


ROWS = (
    Row("skynet", quick_size=6),
    Row("skynet_n", quick_size=6, peer_row="skynet"),
    Row("skynet_v", quick_size=6, peer_row="skynet"),
    Row("fib", quick_size=30),
    Row("fib_n", quick_size=30, peer_row="fib"),
    Row("nqueens", quick_size=11),
    Row("matmul", quick_size=1024),
    Row("spawn_join", quick_size=200_000),
    Row("spawn_external", quick_size=200_000),
    Row("chained_spawn", quick_size=200_000),
    Row("skynet_spawn", quick_size=5),
    Row("fib_spawn", quick_size=23),
    Row("yield", quick_size=200),
    Row("ping_pong", quick_size=200),
    Row("mpsc_1_1", quick_size=1_000_000),
    Row("mpsc_4_1", quick_size=1_000_000),
    Row("mpmc_4_4", quick_size=1_000_000),
    Row("mutex", quick_size=10_000),
    Row("spawn_blocking", quick_size=50_000),
    Row(
        "blocking_beat",
        quick_size=8,
        figure="p99_us",
        unit="us (p99)",
        further=("p50_us", "p99_us", "max_us"),
    ),
    Row(
        "priority",
        quick_size=500,
        figure="p99_us",
        unit="us (p99)",
        further=("p50_us", "p99_us", "max_us", "low_share"),
    ),
)

# The first one is what the others are compared with.
SKUA = Competitor("skua", "Skua", builds.skua_clang, packages=("clang-19",), is_peer=False)
SKUA_GCC = Competitor("skua-gcc", "Skua", builds.skua_gcc, packages=("g++",), is_peer=False)

_TCMALLOC = "tcmalloc_minimal"
_TCMALLOC_PACKAGE = "libtcmalloc-minimal4"
_TOKIO_PACKAGES = ("librust-tokio-dev", "librust-libc-dev", "cargo", "rustc")

PEERS = (
    Competitor("tbb", "oneTBB", builds.tbb, packages=("libtbb-dev",)),
    Competitor("tokio", "Tokio", builds.tokio, packages=_TOKIO_PACKAGES),
    Competitor("go", "Go", builds.go, packages=("golang-go",)),
    # Not run unless asked for.
    Competitor(
        "tbb-tcmalloc",
        "oneTBB with tcmalloc",
        builds.tbb,
        packages=("libtbb-dev", _TCMALLOC_PACKAGE),
        preload=_TCMALLOC,
    ),
    Competitor(
        "tokio-tcmalloc",
        "Tokio with tcmalloc",
        builds.tokio,
        packages=(*_TOKIO_PACKAGES, _TCMALLOC_PACKAGE),
        preload=_TCMALLOC,
    ),
)
DEFAULT_PEERS = ("tbb", "tokio", "go")
