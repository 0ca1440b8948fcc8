# SPDX-License-Identifier: Apache-2.0
"""The rows and the competitors."""

from __future__ import annotations

import dataclasses
from typing import Callable

from . import builds


@dataclasses.dataclass(frozen=True)
class EchoLoad:
    """What echo_load does to an echo server, see its --help."""

    connections: int
    rate: int | None = None  # Requests a second; None: closed loop.
    idle: int = 0  # Further connections, which stay silent.
    hogged: bool = False  # One task of the server computes for 100 ms at a time.
    seconds: float = 3
    quick_seconds: float = 0.3

    @property
    def in_turns(self) -> bool:
        """All servers may be there at once: those that are not asked do nothing, and nobody's memory is compared."""
        return not self.hogged and not self.idle


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of work. Its definition and its full size are the programs' own; see benches/README.md."""

    name: str
    quick_size: int = 0  # With --quick.
    figure: str = "ns_per_op"  # What is compared; figures.better() knows which is better.
    unit: str = "ns/op"
    further: tuple[str, ...] = ()  # Figures that are reported beside it.
    peer_row: str | None = None  # What the peers call the same work, if not by the row's name.
    group: str | None = None  # Another name, for all rows that have it.
    load: EchoLoad | None = None  # Run by servers, not by programs of rows.
    scales: bool = False  # Also run with other numbers of workers.
    does_io: bool = False  # By the ring, where it is Skua.


@dataclasses.dataclass(frozen=True)
class Competitor:
    """A program that runs rows, and how it is made.

    Its row may have a smaller full size than Skua's: where a size is given, it gets no more than that.
    """

    name: str
    title: str  # In reports, with the version after it.
    build: Callable[[builds.Workspace], builds.Program]
    packages: tuple[str, ...]  # Of Debian 12.
    is_peer: bool = True  # Not Skua's own rows, which some peers call by another name.
    is_single: bool = False  # Does not care how many workers it is to have.
    preload: str | None = None  # A library that takes malloc's place, as the linker names it.
    serves: bool = False  # Its program is an echo server, for the rows with a load.
    hogs: bool = False  # A server with --hog.
    arguments: tuple[str, ...] = ()  # Further ones of its program.
    io: str = "uring"  # SKUA_IO of Skua.
    sockets: str = "readiness"  # SKUA_SOCKETS of Skua.
    needs_uring: bool = False  # Cannot take part where io_uring is refused.

    @property
    def is_skua(self) -> bool:
        """Skua itself, or a variant of it."""
        return is_skua(self.name)


def is_skua(name: str) -> bool:
    return name == "skua" or name.startswith("skua-")


_ECHO_FIGURES = ("cpu_us", "requests_per_s", "p50_us", "p99_us", "p999_us", "max_us")


def _closed_echo(connections: int, scales: bool = False) -> Row:
    return Row(
        f"echo_{connections}",
        figure="cpu_us",
        unit="us CPU/request",
        further=_ECHO_FIGURES[1:],
        group="echo",
        load=EchoLoad(connections),
        scales=scales,
    )


def _open_echo(connections: int) -> Row:
    return Row(
        f"echo_rate_{connections}",
        figure="p999_us",
        unit="us (p99.9)",
        further=("cpu_us", "p50_us", "p99_us", "max_us", "load_late_p99_us"),
        group="echo",
        # 100 of the requests of a run are above its p99.9.
        load=EchoLoad(connections, rate=20_000, seconds=5, quick_seconds=0.5),
    )


def _file_read(name: str, quick_size: int) -> Row:
    """By CPU time: by the clock, Skua's threads would be compared with the one thread of the peer."""
    return Row(
        name,
        quick_size=quick_size,
        figure="cpu_ns_per_op",
        unit="ns CPU/op",
        further=("ns_per_op",),
        does_io=True,
    )


ROWS = (
    Row("skynet", quick_size=6),
    Row("skynet_n", quick_size=6, peer_row="skynet"),
    Row("skynet_v", quick_size=6, peer_row="skynet"),
    Row("fib", quick_size=30),
    Row("fib_n", quick_size=30, peer_row="fib", scales=True),
    Row("nqueens", quick_size=11),
    Row("matmul", quick_size=1024, scales=True),
    Row("spawn_join", quick_size=200_000, scales=True),
    Row("spawn_external", quick_size=200_000, scales=True),
    Row("chained_spawn", quick_size=200_000),
    Row("skynet_spawn", quick_size=5, scales=True),
    Row("fib_spawn", quick_size=23),
    Row("yield", quick_size=200, scales=True),
    Row("ping_pong", quick_size=200),
    Row("mpsc_1_1", quick_size=1_000_000),
    Row("mpsc_4_1", quick_size=1_000_000, scales=True),
    Row("mpmc_4_4", quick_size=1_000_000),
    Row("mutex", quick_size=10_000),
    Row("spawn_blocking", quick_size=50_000),
    Row(
        "timers",
        quick_size=100_000,
        figure="wall_s",
        unit="s (1 is the longest sleep)",
        further=("p50_us", "p99_us", "max_us"),
    ),
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
    _file_read("file_read", quick_size=100_000),
    _file_read("file_read_1", quick_size=100_000),
    _file_read("file_read_direct", quick_size=20_000),
    _file_read("file_read_direct_32", quick_size=20_000),
    _closed_echo(1),
    _closed_echo(50, scales=True),
    _closed_echo(500, scales=True),
    _open_echo(50),
    _open_echo(500),
    Row(
        "echo_hogged",
        figure="p99_us",
        unit="us (p99)",
        further=("p50_us", "p99_us", "p999_us", "max_us", "load_late_p99_us"),
        load=EchoLoad(50, rate=5_000, hogged=True),
    ),
    Row(
        "echo_idle",
        figure="idle_bytes",
        unit="bytes/connection",
        further=("cpu_us", "p99_us"),
        load=EchoLoad(1000, idle=10_000, seconds=1),
    ),
)

# The first one is what the others are compared with.
SKUA = Competitor("skua", "Skua", builds.skua_clang, packages=("clang-19",), is_peer=False)
SKUA_GCC = Competitor("skua-gcc", "Skua", builds.skua_gcc, packages=("g++",), is_peer=False)


def _policy(name: str, title: str, is_single: bool = False) -> Competitor:
    """Skua's rows with another scheduler. Not run unless asked for."""
    return dataclasses.replace(
        SKUA,
        name=f"skua-{name.replace('_', '-')}",
        title=f"Skua with {title}",
        is_single=is_single,
        arguments=("--policy", name),
    )


POLICIES = (
    _policy("no_slot", "SchedulerPolicy::kWorkStealingNoSlot"),
    _policy("global_queue", "SchedulerPolicy::kGlobalQueue"),
    _policy("thread_per_core", "Flavor::kThreadPerCore"),
    _policy("current_thread", "Flavor::kCurrentThread", is_single=True),
)

_TCMALLOC = "tcmalloc_minimal"
_TCMALLOC_PACKAGE = "libtcmalloc-minimal4"
_TOKIO_PACKAGES = ("librust-tokio-dev", "librust-libc-dev", "cargo", "rustc")

PEERS = (
    Competitor("tbb", "oneTBB", builds.tbb, packages=("libtbb-dev",)),
    Competitor("tokio", "Tokio", builds.tokio, packages=_TOKIO_PACKAGES),
    Competitor("go", "Go", builds.go, packages=("golang-go",)),
    Competitor("asio", "Asio", builds.asio, packages=("libasio-dev",)),
    Competitor("uv", "libuv", builds.uv, packages=("libuv1-dev",), is_single=True),
    Competitor(
        "uring",
        "C with io_uring",
        builds.uring_rows,
        packages=(),
        is_single=True,
        needs_uring=True,
    ),
    Competitor("pread", "Threads with pread", builds.pread_rows, packages=()),
    # What one would try first. Not with --quick, unless asked for.
    Competitor("threads", "A thread for each task", builds.threads, packages=()),
    Competitor("mutex-pool", "Threads, one queue, one mutex", builds.mutex_pool, packages=()),
    Competitor("std-async", "std::async", builds.std_async, packages=()),
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
DEFAULT_PEERS = ("tbb", "tokio", "go", "asio", "uv", "uring", "pread")
BASELINES = ("threads", "mutex-pool", "std-async")

# --- Echo servers -------------------------------------------------------------------------------

SKUA_ECHO = Competitor(
    "skua",
    "Skua",
    builds.skua_echo,
    packages=("clang-19",),
    is_peer=False,
    serves=True,
    hogs=True,
    needs_uring=True,
)
# By the names that --peers takes.
ECHO_PEERS = (
    dataclasses.replace(
        SKUA_ECHO,
        name="skua-epoll",
        title="Skua on epoll",
        is_peer=True,
        io="epoll",
        needs_uring=False,
    ),
    dataclasses.replace(
        SKUA_ECHO,
        name="skua-completion",
        title="Skua with SocketEngine::kCompletion",
        is_peer=True,
        sockets="completion",
    ),
    dataclasses.replace(
        SKUA_ECHO,
        name="skua-eager",
        title="Skua with DriverHandover::kEager",
        is_peer=True,
        arguments=("--eager",),
    ),
    Competitor(
        "tokio", "Tokio", builds.tokio_echo, packages=_TOKIO_PACKAGES, serves=True, hogs=True
    ),
    Competitor("go", "Go", builds.go_echo, packages=("golang-go",), serves=True, hogs=True),
    Competitor("epoll", "C with epoll", builds.epoll_echo, packages=(), serves=True),
    Competitor(
        "uring", "C with io_uring", builds.uring_echo, packages=(), serves=True, needs_uring=True
    ),
    Competitor("asio", "Asio", builds.asio_echo, packages=("libasio-dev",), serves=True),
    Competitor(
        "asio-per-thread",
        "Asio, a context for each thread",
        builds.asio_echo,
        packages=("libasio-dev",),
        serves=True,
        arguments=("--per-thread",),
    ),
    Competitor("uv", "libuv", builds.uv_echo, packages=("libuv1-dev",), serves=True),
)
DEFAULT_ECHO_PEERS = (
    "tokio",
    "go",
    "epoll",
    "uring",
    "asio",
    "uv",
    "skua-epoll",
    "skua-completion",
)
