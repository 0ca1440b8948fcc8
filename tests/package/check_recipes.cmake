# SPDX-License-Identifier: Apache-2.0
#
# The recipes of packaging/ have the form that their tools want, as far as that can be told without them: JSON and Python
# that can be parsed, the version of this project, options and files that are there.

cmake_minimum_required(VERSION 3.24)

set(packaging "${SOURCE_DIR}/packaging")
file(READ "${SOURCE_DIR}/CMakeLists.txt" cmakelists)

# Every -DSKUA_X, or "SKUA_X", of a recipe is an option of this project.
function(check_options what text)
  string(REGEX MATCHALL "SKUA_[A-Z_]+" options "${text}")
  foreach(option IN LISTS options)
    if(option STREQUAL "SKUA_CONCURRENTQUEUE_INCLUDE_DIR")  # cmake/dependencies.cmake
      continue()
    endif()
    string(FIND "${cmakelists}" "option(${option} " at)
    if(at EQUAL -1)
      message(FATAL_ERROR "${what}: there is no option ${option}")
    endif()
  endforeach()
endfunction()

# --- vcpkg ------------------------------------------------------------------------------------

file(READ "${packaging}/vcpkg/vcpkg.json" manifest)
string(JSON name GET "${manifest}" name)
string(JSON version GET "${manifest}" version)
string(JSON dependencies LENGTH "${manifest}" dependencies)
if(NOT "${name} ${version}" STREQUAL "skua ${VERSION}" OR dependencies LESS 3)
  message(FATAL_ERROR "vcpkg.json: ${name} ${version}, ${dependencies} dependencies")
endif()

# The portfile runs, with functions in place of vcpkg's that look at what they are given.
function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS")
  if(NOT EXISTS "${arg_SOURCE_PATH}/CMakeLists.txt")
    message(FATAL_ERROR "portfile.cmake: no sources in ${arg_SOURCE_PATH}")
  endif()
  check_options(portfile.cmake "${arg_OPTIONS}")
  set_property(GLOBAL PROPERTY configured ON)
endfunction()
function(vcpkg_find_acquire_program)
endfunction()
function(vcpkg_cmake_install)
endfunction()
function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "PACKAGE_NAME;CONFIG_PATH" "")
  if(NOT "${arg_PACKAGE_NAME} ${arg_CONFIG_PATH}" STREQUAL "skua lib/cmake/skua")
    message(FATAL_ERROR "portfile.cmake: ${ARGN}")
  endif()
endfunction()
function(vcpkg_fixup_pkgconfig)
endfunction()
function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  foreach(file IN LISTS arg_FILE_LIST)
    if(NOT EXISTS "${file}")
      message(FATAL_ERROR "portfile.cmake: there is no ${file}")
    endif()
  endforeach()
endfunction()
set(CURRENT_PACKAGES_DIR "${CMAKE_CURRENT_BINARY_DIR}/vcpkg-packages")
set(PORT skua)
include("${packaging}/vcpkg/portfile.cmake")
get_property(configured GLOBAL PROPERTY configured)
if(NOT configured OR NOT EXISTS "${CURRENT_PACKAGES_DIR}/share/skua/usage")
  message(FATAL_ERROR "portfile.cmake does not configure, or installs no usage")
endif()

# --- Conan ------------------------------------------------------------------------------------

set(conanfile "${packaging}/conan/conanfile.py")
file(READ "${conanfile}" recipe)
string(FIND "${recipe}" "    version = \"${VERSION}\"\n" at)
if(at EQUAL -1)
  message(FATAL_ERROR "conanfile.py: the version is not ${VERSION}")
endif()
check_options(conanfile.py "${recipe}")

# It takes along what the library is built of: each module of CMakeLists.txt, and no file that is not there.
string(REGEX MATCH "foreach\\(module IN ITEMS([^)]*)\\)" modules "${cmakelists}")
string(REGEX MATCHALL "[a-z_/]+" modules "${CMAKE_MATCH_1}")
list(TRANSFORM modules REPLACE "/.*" "")
string(REGEX MATCH "exported = \\(([^)]*)\\)" sources "${recipe}")
string(REGEX MATCHALL "[A-Za-z_.]+" sources "${CMAKE_MATCH_1}")
list(LENGTH modules count)
if(count LESS 10)
  message(FATAL_ERROR "CMakeLists.txt lists its modules in another way: ${modules}")
endif()
foreach(module IN LISTS modules)
  if(NOT module IN_LIST sources)
    message(FATAL_ERROR "conanfile.py does not take ${module} along")
  endif()
endforeach()
foreach(source IN LISTS sources)
  if(NOT EXISTS "${SOURCE_DIR}/${source}")
    message(FATAL_ERROR "conanfile.py: there is no ${source}")
  endif()
endforeach()

find_program(python NAMES python3)
if(python)
  execute_process(COMMAND "${python}" -c
    "import ast, sys; ast.parse(open(sys.argv[1]).read())" "${conanfile}" COMMAND_ERROR_IS_FATAL ANY)
else()
  message(STATUS "conanfile.py was not parsed: there is no python3")
endif()
