# SPDX-License-Identifier: Apache-2.0
#
# Builds and runs the consumer in one WAY. From scratch each time: what an earlier run left behind must not help.
#
#   find_package      the installed library, by its CMake package
#   pkg_config        the same, without CMake
#   add_subdirectory  as a part of the consumer's build, as a shared library; CPack makes Debian's packages of it
#   fetch_content     configures only: what it would build is what add_subdirectory builds
#   deb               what is in the packages that add_subdirectory has made, unpacked in a folder; without RTTI

set(program "${WORK_DIR}/consumer")
file(REMOVE_RECURSE "${WORK_DIR}")
file(MAKE_DIRECTORY "${WORK_DIR}")

function(run)
  execute_process(COMMAND ${ARGV} WORKING_DIRECTORY "${WORK_DIR}"
    COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# -O0 keeps the test short: its subject is the package.
function(configure)
  run("${CMAKE_COMMAND}" -S "${CONSUMER_DIR}" -B "${WORK_DIR}" -G "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${CXX}" -DCMAKE_BUILD_TYPE=Debug ${ARGV})
endfunction()
function(build_with_cmake)
  configure(${ARGV})
  run("${CMAKE_COMMAND}" --build "${WORK_DIR}" --target consumer)
endfunction()

function(expect_contains text part)
  string(FIND "${text}" "${part}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "expected \"${part}\" in:\n${text}")
  endif()
endfunction()

# The packages that the add_subdirectory test has made: their fields, and what is in them.
function(unpack_packages root)
  foreach(package IN ITEMS "libskua${SOVERSION}" libskua-dev)
    file(GLOB deb "${PACKAGES_DIR}/${package}_${VERSION}_*.deb")
    list(LENGTH deb count)
    if(NOT count EQUAL 1)
      message(FATAL_ERROR "not one ${package} in ${PACKAGES_DIR}: ${deb}")
    endif()
    execute_process(COMMAND dpkg-deb --field "${deb}" OUTPUT_VARIABLE fields COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND dpkg-deb --contents "${deb}" OUTPUT_VARIABLE contents COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS "${package}:\n${fields}${contents}")
    expect_contains("${fields}" "Version: ${VERSION}\n")
    expect_contains("${contents}" "./usr/share/doc/${package}/copyright\n")
    if(package STREQUAL "libskua-dev")
      expect_contains("${fields}" "libskua${SOVERSION} (= ${VERSION})")
      expect_contains("${fields}" "libabsl-dev")
      expect_contains("${contents}" "/libskua.so -> libskua.so.${SOVERSION}\n")
      expect_contains("${contents}" "./usr/include/skua/skua.h\n")
      expect_contains("${contents}" "/pkgconfig/skua.pc\n")
    else()
      # What dpkg-shlibdeps has found in the library itself.
      expect_contains("${fields}" "liburing2")
      expect_contains("${fields}" "libstdc++6")
      expect_contains("${contents}" "/libskua.so.${SOVERSION} -> libskua.so.${VERSION}\n")
      string(FIND "${contents}" "usr/include" at)
      if(NOT at EQUAL -1)
        message(FATAL_ERROR "headers in ${package}")
      endif()
    endif()
    run(dpkg-deb --extract "${deb}" "${root}")
  endforeach()
endfunction()

if(WAY STREQUAL "find_package")
  build_with_cmake("-DCMAKE_PREFIX_PATH=${PREFIX}")
elseif(WAY STREQUAL "add_subdirectory")
  # As a shared library, and each file for itself: the main build has the static one, in large units.
  build_with_cmake("-DSKUA_SOURCE_DIR=${SOURCE_DIR}" -DBUILD_SHARED_LIBS=ON
    -DSKUA_INSTALL=ON -DSKUA_PACK=ON -DCMAKE_INSTALL_PREFIX=/usr)
  if(DPKG)
    run(cpack -G DEB -B "${WORK_DIR}/packages")
  endif()
elseif(WAY STREQUAL "fetch_content")
  configure(-DUSE_FETCH_CONTENT=ON "-DFETCHCONTENT_SOURCE_DIR_SKUA=${SOURCE_DIR}")
  return()
elseif(WAY STREQUAL "deb")
  unpack_packages("${WORK_DIR}/root")
  build_with_cmake("-DCMAKE_PREFIX_PATH=${WORK_DIR}/root/usr" -DCMAKE_CXX_FLAGS=-fno-rtti)
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
