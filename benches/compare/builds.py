# SPDX-License-Identifier: Apache-2.0
"""Makes the competitors' programs, each in a folder of its own below build/compare."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess


class NotInstalled(Exception):
    """What a competitor is built with is missing here. Says what."""


class BuildFailed(Exception):
    """A tool was there and failed. Says which, and its last lines."""


@dataclasses.dataclass(frozen=True)
class Program:
    path: pathlib.Path
    version: str  # Of what it compares, and its compiler.


@dataclasses.dataclass(frozen=True)
class Workspace:
    source: pathlib.Path  # The root of the repository.
    output: pathlib.Path  # build/compare
    programs: pathlib.Path | None = None  # Where all programs are already. Nothing is built.

    def folder(self, name: str) -> pathlib.Path:
        path = self.output / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def _run(
    command: list[str], folder: pathlib.Path, environment: dict[str, str] | None = None
) -> str:
    """What the command prints. Its output is kept in build.log of the folder."""
    result = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if result.returncode != 0:
        last_lines = "\n".join(result.stdout.splitlines()[-30:])
        raise BuildFailed(
            f"{' '.join(command)}\n  in {folder}: exit status {result.returncode}\n{last_lines}"
        )
    return result.stdout


def _tool(name: str, *more_names: str) -> str:
    """The path of the first of these tools that is there."""
    for candidate in (name, *more_names):
        path = shutil.which(candidate)
        if path:
            return path
    raise NotInstalled(f"{name} is not there")


def _first_line(command: list[str]) -> str:
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return (result.stdout.splitlines() or ["unknown version"])[0]


def _prebuilt(workspace: Workspace, target: str) -> Program | None:
    """The program of the folder with all programs, if there is such a folder."""
    if workspace.programs is None:
        return None
    path = workspace.programs / target
    if not path.is_file():
        raise NotInstalled(f"no {target} in {workspace.programs}")
    return Program(path, f"as built in {workspace.programs}")


# --- Skua, and what CMake builds beside it ----------------------------------------------------


def _configure(workspace: Workspace, name: str, compiler: str) -> pathlib.Path:
    folder = workspace.folder(name)
    _tool("ninja")
    _run(
        [
            _tool("cmake"),
            "--preset=release",
            "-DSKUA_UNITY_BUILD=OFF",  # As users have it.
            f"-B{folder}",
            f"-DCMAKE_CXX_COMPILER={compiler}",
            "-DCMAKE_CXX_FLAGS=-march=native",
            "-DCMAKE_CXX_FLAGS_RELEASE=-O3 -DNDEBUG",
            "-DSKUA_BUILD_TESTS=OFF",
            "-DSKUA_BUILD_EXAMPLES=OFF",
            "-DSKUA_PACKAGE_TESTS=OFF",
        ],
        workspace.source,
    )
    return folder


def _build(folder: pathlib.Path, target: str) -> pathlib.Path:
    _run(
        [_tool("cmake"), "--build", ".", "--target", target, "--parallel", str(os.cpu_count())],
        folder,
    )
    return folder / "benches" / target


def _compiler_version(compiler: str) -> str:
    return _first_line([compiler, "--version"])


def _skua(
    workspace: Workspace, name: str, compilers: tuple[str, ...], target: str = "skua_rows"
) -> Program:
    prebuilt = _prebuilt(workspace, target)
    if prebuilt:
        return prebuilt
    compiler = _tool(*compilers)
    path = _build(_configure(workspace, name, compiler), target)
    git = shutil.which("git")
    commit = "unknown commit"
    if git:
        commit = _first_line([git, "-C", str(workspace.source), "describe", "--always", "--dirty"])
    return Program(path, f"{commit}, {_compiler_version(compiler)}")


def skua_clang(workspace: Workspace) -> Program:
    return _skua(workspace, "skua", ("clang++-19",))


def skua_gcc(workspace: Workspace) -> Program:
    if workspace.programs is not None:
        raise NotInstalled(f"{workspace.programs} has the programs of one compiler")
    return _skua(workspace, "skua-gcc", ("g++-12", "g++"))


def skua_echo(workspace: Workspace) -> Program:
    return _skua(workspace, "skua", ("clang++-19",), "skua_echo")


def _c_program(workspace: Workspace, target: str, version: str = "") -> Program:
    """Of C++ without Skua; `version` is that of the library that it compares."""
    prebuilt = _prebuilt(workspace, target)
    if prebuilt:
        return prebuilt
    compiler = _tool("clang++-19")
    path = _build(_configure(workspace, "skua", compiler), target)
    versions = [version, _compiler_version(compiler)]
    return Program(path, ", ".join(filter(None, versions)))


def echo_load(workspace: Workspace) -> Program:
    return _c_program(workspace, "echo_load")


def epoll_echo(workspace: Workspace) -> Program:
    return _c_program(workspace, "epoll_echo")


def uring_echo(workspace: Workspace) -> Program:
    return _c_program(workspace, "uring_echo")


def uring_rows(workspace: Workspace) -> Program:
    return _c_program(workspace, "uring_rows")


def pread_rows(workspace: Workspace) -> Program:
    return _c_program(workspace, "pread_rows")


def threads(workspace: Workspace) -> Program:
    return _c_program(workspace, "threads_rows")


def mutex_pool(workspace: Workspace) -> Program:
    return _c_program(workspace, "mutex_pool_rows")


def std_async(workspace: Workspace) -> Program:
    return _c_program(workspace, "std_async_rows")


def tbb(workspace: Workspace) -> Program:
    prebuilt = _prebuilt(workspace, "tbb_rows")
    if prebuilt:
        return prebuilt
    folder = _configure(workspace, "skua", _tool("clang++-19"))
    cache = (folder / "CMakeCache.txt").read_text(encoding="utf-8")
    found = re.search(r"^TBB_DIR:PATH=(.*)$", cache, re.MULTILINE)
    if not found or found[1].endswith("-NOTFOUND"):
        raise NotInstalled("CMake does not find oneTBB")
    version = "unknown version"
    config = pathlib.Path(found[1]) / "TBBConfigVersion.cmake"
    if config.is_file():
        numbers = re.search(r'PACKAGE_VERSION "([0-9.]+)"', config.read_text(encoding="utf-8"))
        version = numbers[1] if numbers else version
    return _c_program(workspace, "tbb_rows", version)


def _header(workspace: Workspace, path: str, library: str) -> str:
    """What is in the header of a library that has no CMake package. Not read if the programs are there."""
    if workspace.programs is not None:
        return ""
    header = pathlib.Path("/usr/include") / path
    if not header.is_file():
        raise NotInstalled(f"no {library} in /usr/include")
    return header.read_text(encoding="utf-8", errors="replace")


def _asio(workspace: Workspace, target: str) -> Program:
    header = _header(workspace, "asio/version.hpp", "standalone Asio")
    found = re.search(r"// ASIO_VERSION.*?#define ASIO_VERSION (\d+)", header, re.DOTALL)
    number = int(found[1]) if found else 0
    version = f"{number // 100000}.{number // 100 % 1000}.{number % 100}"
    return _c_program(workspace, target, version)


def asio(workspace: Workspace) -> Program:
    return _asio(workspace, "asio_rows")


def asio_echo(workspace: Workspace) -> Program:
    return _asio(workspace, "asio_echo")


def _uv(workspace: Workspace, target: str) -> Program:
    _header(workspace, "uv.h", "libuv")
    header = _header(workspace, "uv/version.h", "libuv")
    numbers = re.findall(r"#define UV_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
    return _c_program(workspace, target, ".".join(numbers))


def uv(workspace: Workspace) -> Program:
    return _uv(workspace, "uv_rows")


def uv_echo(workspace: Workspace) -> Program:
    return _uv(workspace, "uv_echo")


# --- Tokio ------------------------------------------------------------------------------------

_REGISTRY = pathlib.Path("/usr/share/cargo/registry")


def tokio(workspace: Workspace) -> Program:
    return _tokio(workspace, "tokio_rows")


def tokio_echo(workspace: Workspace) -> Program:
    return _tokio(workspace, "tokio_echo")


def _tokio(workspace: Workspace, binary: str) -> Program:
    prebuilt = _prebuilt(workspace, binary)
    if prebuilt:
        return prebuilt
    # Debian's own, not those of a rustup that stands first in the path: they fit Debian's crates.
    cargo, rustc = pathlib.Path("/usr/bin/cargo"), pathlib.Path("/usr/bin/rustc")
    for tool in (cargo, rustc):
        if not tool.exists():
            raise NotInstalled(f"{tool} is not there")
    if not list(_REGISTRY.glob("tokio-1.*")):
        raise NotInstalled(f"no Tokio in {_REGISTRY}")
    # In a copy: cargo writes its lock file beside the sources.
    folder = workspace.folder("tokio")
    shutil.copytree(
        workspace.source / "benches" / "peers" / "tokio",
        folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("target", "Cargo.lock"),
    )
    environment = {
        "CARGO_HOME": str(workspace.folder("cargo-home")),
        "CARGO_TARGET_DIR": str(folder / "target"),
        "RUSTC": str(rustc),
        "RUSTFLAGS": "-C target-cpu=native",
    }
    _run([str(cargo), "build", "--release", "--offline"], folder, environment)
    lock = (folder / "Cargo.lock").read_text(encoding="utf-8")
    found = re.search(r'name = "tokio"\nversion = "([^"]*)"', lock)
    version = found[1] if found else "unknown version"
    return Program(
        folder / "target" / "release" / binary,
        f"{version}, {_first_line([str(rustc), '--version'])}",
    )


# --- Go ---------------------------------------------------------------------------------------


def go(workspace: Workspace) -> Program:
    return _go(workspace, "go_rows", ".")


def go_echo(workspace: Workspace) -> Program:
    return _go(workspace, "go_echo", "./echo")


def _go(workspace: Workspace, binary: str, package: str) -> Program:
    prebuilt = _prebuilt(workspace, binary)
    if prebuilt:
        return prebuilt
    tool = _tool("go", "/usr/lib/go/bin/go")
    folder = workspace.folder("go")
    program = folder / binary
    environment = {
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "-buildvcs=false",
        "GOPROXY": "off",
    }
    source = workspace.source / "benches" / "peers" / "go"
    _run([tool, "build", "-o", str(program), package], source, environment)
    version = _first_line([tool, "version"]).removeprefix("go version go")
    return Program(program, version)
