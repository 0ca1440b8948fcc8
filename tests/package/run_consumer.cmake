# SPDX-License-Identifier: Apache-2.0
#
# Builds and runs the consumer in one WAY: find_package, pkg_config or add_subdirectory. From
# scratch each time: what an earlier run left behind must not help.

set(program "${WORK_DIR}/consumer")
file(REMOVE_RECURSE "${WORK_DIR}")
file(MAKE_DIRECTORY "${WORK_DIR}")

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# -O0 keeps the test short: its subject is the package.
function(build_with_cmake)
  run("${CMAKE_COMMAND}" -S "${CONSUMER_DIR}" -B "${WORK_DIR}" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${CXX}" -DCMAKE_BUILD_TYPE=Debug ${ARGV})
  run("${CMAKE_COMMAND}" --build "${WORK_DIR}" --target consumer)
endfunction()

if(WAY STREQUAL "find_package")
  build_with_cmake("-DCMAKE_PREFIX_PATH=${PREFIX}")
elseif(WAY STREQUAL "add_subdirectory")
  # As a shared library, and each file for itself: the main build has the static one, in large units.
  build_with_cmake("-DSKUA_SOURCE_DIR=${SOURCE_DIR}" -DBUILD_SHARED_LIBS=ON)
elseif(WAY STREQUAL "pkg_config")
  set(ENV{PKG_CONFIG_PATH} "${PREFIX}/${LIBDIR}/pkgconfig")
  execute_process(COMMAND pkg-config --cflags --libs skua
    OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE
    COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  run("${CXX}" -std=c++20 "${CONSUMER_DIR}/main.cc" -o "${program}" ${flags})
else()
  message(FATAL_ERROR "unknown WAY: ${WAY}")
endif()

execute_process(COMMAND "${program}" OUTPUT_VARIABLE output
  COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
if(NOT output STREQUAL "The answer is 42.\n")
  message(FATAL_ERROR "the consumer printed: ${output}")
endif()
message(STATUS "${output}")
