# SPDX-License-Identifier: Apache-2.0
#
# Finds what Skua is built on. Installed packages come first; what is missing is an error that names
# the Debian package or, with SKUA_FETCH_DEPS, is downloaded at the version below. To prefer the
# downloads, set FETCHCONTENT_TRY_FIND_PACKAGE_MODE=NEVER as well.
#
# What each one is for: docs/dependencies.md.

include(FetchContent)

set(SKUA_ABSL_TAG 20220623.1)
set(SKUA_CONCURRENTQUEUE_TAG v1.0.3)
set(SKUA_LIBURING_TAG liburing-2.3)
set(SKUA_GTEST_TAG release-1.12.1)
set(SKUA_BENCHMARK_TAG v1.7.1)

if(FETCHCONTENT_TRY_FIND_PACKAGE_MODE STREQUAL "NEVER" AND SKUA_FETCH_DEPS)
  set(skua_prefer_downloads ON)
else()
  set(skua_prefer_downloads OFF)
endif()

function(skua_report_missing what debian_package)
  message(FATAL_ERROR
    "Skua needs ${what}, which was not found.\n"
    "  Debian, Ubuntu: apt-get install ${debian_package}\n"
    "  or configure with -DSKUA_FETCH_DEPS=ON to download a pinned version of it.")
endfunction()

# A dependency with a CMake package. The options that its own build reads are set by the caller.
# A macro: find_package() leaves its results in the caller's scope.
macro(skua_find_or_fetch name repository tag debian_package)
  set(skua_found OFF)
  if(NOT skua_prefer_downloads)
    find_package(${name} QUIET)
    set(skua_found "${${name}_FOUND}")
  endif()
  if(NOT skua_found)
    if(NOT SKUA_FETCH_DEPS)
      skua_report_missing("${name}" "${debian_package}")
    endif()
    message(STATUS "Skua: downloading ${name} ${tag}")
    FetchContent_Declare(${name} GIT_REPOSITORY "${repository}" GIT_TAG "${tag}" GIT_SHALLOW ON
      OVERRIDE_FIND_PACKAGE)
    # The sanitizers must see its code too: the options of this directory reach its subdirectories.
    get_directory_property(skua_saved_compile_options COMPILE_OPTIONS)
    add_compile_options(${SKUA_SANITIZE_OPTIONS})
    FetchContent_MakeAvailable(${name})
    set_directory_properties(PROPERTIES COMPILE_OPTIONS "${skua_saved_compile_options}")
  endif()
endmacro()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# --- Abseil -----------------------------------------------------------------------------------

set(ABSL_PROPAGATE_CXX_STD ON)
set(ABSL_ENABLE_INSTALL "${SKUA_INSTALL}")
skua_find_or_fetch(absl https://github.com/abseil/abseil-cpp.git ${SKUA_ABSL_TAG} libabsl-dev)

# --- liburing ---------------------------------------------------------------------------------

if(NOT skua_prefer_downloads)
  find_package(liburing 2.3 QUIET)
endif()
if(NOT liburing_FOUND)
  if(NOT SKUA_FETCH_DEPS)
    skua_report_missing("liburing 2.3 or newer" liburing-dev)
  endif()
  find_program(SKUA_MAKE NAMES make gmake)
  if(NOT SKUA_MAKE)
    message(FATAL_ERROR "Skua: liburing builds with make only. Install make, or liburing-dev.")
  endif()
  # Its build is configure and make. It uses no cross-thread state that a sanitizer must see.
  include(ExternalProject)
  set(skua_liburing_dir "${FETCHCONTENT_BASE_DIR}/liburing-build")
  if(NOT FETCHCONTENT_BASE_DIR)
    set(skua_liburing_dir "${CMAKE_BINARY_DIR}/_deps/liburing-build")
  endif()
  message(STATUS "Skua: downloading liburing ${SKUA_LIBURING_TAG}")
  ExternalProject_Add(skua_liburing
    GIT_REPOSITORY https://github.com/axboe/liburing.git
    GIT_TAG "${SKUA_LIBURING_TAG}"
    GIT_SHALLOW ON
    PREFIX "${skua_liburing_dir}"
    BUILD_IN_SOURCE ON
    CONFIGURE_COMMAND ./configure "--prefix=${skua_liburing_dir}/install"
    BUILD_COMMAND "${SKUA_MAKE}" -C src "CFLAGS=-O2 -fPIC" liburing.a
    INSTALL_COMMAND "${CMAKE_COMMAND}" -E copy src/liburing.a "${skua_liburing_dir}/liburing.a"
    BUILD_BYPRODUCTS "${skua_liburing_dir}/liburing.a")
  set(skua_liburing_include "${skua_liburing_dir}/src/skua_liburing/src/include")
  file(MAKE_DIRECTORY "${skua_liburing_include}")  # Exists once built; CMake wants it now.
  add_library(liburing::liburing STATIC IMPORTED GLOBAL)
  set_target_properties(liburing::liburing PROPERTIES
    IMPORTED_LOCATION "${skua_liburing_dir}/liburing.a"
    INTERFACE_INCLUDE_DIRECTORIES "${skua_liburing_include}")
  add_dependencies(liburing::liburing skua_liburing)
endif()

# --- moodycamel::ConcurrentQueue --------------------------------------------------------------

if(NOT skua_prefer_downloads)
  find_path(SKUA_CONCURRENTQUEUE_INCLUDE_DIR concurrentqueue/concurrentqueue.h)
endif()
if(NOT SKUA_CONCURRENTQUEUE_INCLUDE_DIR)
  if(NOT SKUA_FETCH_DEPS)
    skua_report_missing("moodycamel's <concurrentqueue/concurrentqueue.h>" libconcurrentqueue-dev)
  endif()
  message(STATUS "Skua: downloading concurrentqueue ${SKUA_CONCURRENTQUEUE_TAG}")
  # The name of the last folder makes the header's spelling that of an installed copy. The folder in
  # SOURCE_SUBDIR has no CMakeLists.txt: headers are all that is wanted.
  set(skua_concurrentqueue_root "${CMAKE_BINARY_DIR}/_deps/concurrentqueue-root")
  FetchContent_Declare(skua_concurrentqueue
    GIT_REPOSITORY https://github.com/cameron314/concurrentqueue.git
    GIT_TAG "${SKUA_CONCURRENTQUEUE_TAG}"
    GIT_SHALLOW ON
    SOURCE_DIR "${skua_concurrentqueue_root}/concurrentqueue"
    SOURCE_SUBDIR internal)
  FetchContent_MakeAvailable(skua_concurrentqueue)
  set(SKUA_CONCURRENTQUEUE_INCLUDE_DIR "${skua_concurrentqueue_root}")
endif()
mark_as_advanced(SKUA_CONCURRENTQUEUE_INCLUDE_DIR)

# --- Of the tests, benchmarks and examples ----------------------------------------------------

if(SKUA_BUILD_TESTS)
  set(INSTALL_GTEST OFF)
  skua_find_or_fetch(GTest https://github.com/google/googletest.git ${SKUA_GTEST_TAG}
    "libgtest-dev libgmock-dev")
endif()
if(SKUA_BUILD_BENCHES)
  set(BENCHMARK_ENABLE_TESTING OFF)
  set(BENCHMARK_ENABLE_INSTALL OFF)
  skua_find_or_fetch(benchmark https://github.com/google/benchmark.git ${SKUA_BENCHMARK_TAG}
    libbenchmark-dev)
  # Peers in the comparison of schedulers: not needed, and not downloaded.
  find_package(TBB QUIET)
  find_path(SKUA_ASIO_INCLUDE_DIR asio/awaitable.hpp)
  find_path(SKUA_UV_INCLUDE_DIR uv.h)
  find_library(SKUA_UV_LIBRARY uv)
  mark_as_advanced(SKUA_ASIO_INCLUDE_DIR SKUA_UV_INCLUDE_DIR SKUA_UV_LIBRARY)
endif()
if(SKUA_BUILD_EXAMPLES)
  find_package(OpenSSL QUIET)
  find_path(SKUA_HTTP_PARSER_INCLUDE_DIR http_parser.h)
  find_library(SKUA_HTTP_PARSER_LIBRARY http_parser)
  mark_as_advanced(SKUA_HTTP_PARSER_INCLUDE_DIR SKUA_HTTP_PARSER_LIBRARY)
endif()
