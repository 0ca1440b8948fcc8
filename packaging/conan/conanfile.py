# SPDX-License-Identifier: Apache-2.0
"""Conan 2 recipe. Builds the tree that it stands in."""

from pathlib import Path

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy


class SkuaConan(ConanFile):
    name = "skua"
    version = "0.1.0"
    package_type = "library"
    description = "A coroutine runtime for C++20 on Linux"
    license = "Apache-2.0"
    topics = ("coroutines", "async", "io-uring", "work-stealing")
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True}

    # All that the library is built of, from the root of the repository.
    exported = (
        "CMakeLists.txt",
        "LICENSE",
        "cmake",
        "include",
        "base",
        "task",
        "scheduler",
        "time",
        "io_driver",
        "sync",
        "blocking_pool",
        "workers",
        "io",
        "net",
        "fs",
        "runtime",
    )

    def export_sources(self):
        root = Path(self.recipe_folder).parent.parent
        for name in self.exported:
            pattern = f"{name}/*" if (root / name).is_dir() else name
            copy(self, pattern, str(root), self.export_sources_folder)

    def config_options(self):
        if self.settings.os == "Windows":
            del self.options.fPIC

    def configure(self):
        if self.options.shared:
            self.options.rm_safe("fPIC")

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("Skua runs on Linux only")
        check_min_cppstd(self, 20)

    def requirements(self):
        self.requires("abseil/[>=20220623]", transitive_headers=True)
        self.requires("liburing/[>=2.3]")
        self.requires("concurrentqueue/[>=1.0.3]")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        # Skua spells it <concurrentqueue/concurrentqueue.h>; the folder's name there differs between versions.
        package = Path(self.dependencies["concurrentqueue"].package_folder)
        headers = next(package.rglob("concurrentqueue.h")).parent
        include = Path(self.generators_folder) / "concurrentqueue_include"
        copy(self, "*.h", str(headers), str(include / "concurrentqueue"))

        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["SKUA_BUILD_TESTS"] = False
        toolchain.cache_variables["SKUA_BUILD_EXAMPLES"] = False
        toolchain.cache_variables["SKUA_BUILD_BENCHES"] = False
        toolchain.cache_variables["SKUA_PACK"] = False
        toolchain.cache_variables["SKUA_CONCURRENTQUEUE_INCLUDE_DIR"] = str(include)
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, "LICENSE", self.source_folder, str(Path(self.package_folder) / "licenses"))

    def package_info(self):
        self.cpp_info.libs = ["skua"]
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.set_property("cmake_file_name", "skua")
        self.cpp_info.set_property("cmake_target_name", "skua::skua")
        self.cpp_info.set_property("pkg_config_name", "skua")
