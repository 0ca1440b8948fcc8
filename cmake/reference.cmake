# SPDX-License-Identifier: Apache-2.0
#
# docs_reference: the reference of the public API as HTML, by Doxygen. A warning is an error: a comment that Doxygen
# cannot read, or a name that is not there.

find_package(Doxygen QUIET)
find_program(SKUA_AWK NAMES awk gawk mawk)
mark_as_advanced(SKUA_AWK)

if(DOXYGEN_FOUND AND SKUA_AWK)
  set(SKUA_REFERENCE_DIR "${PROJECT_BINARY_DIR}/reference")
  configure_file("${PROJECT_SOURCE_DIR}/docs/Doxyfile.in" "${PROJECT_BINARY_DIR}/Doxyfile" @ONLY)
  # Doxygen makes one folder, not those above it.
  file(MAKE_DIRECTORY "${SKUA_REFERENCE_DIR}")
  add_custom_target(docs_reference
    COMMAND "${DOXYGEN_EXECUTABLE}" "${PROJECT_BINARY_DIR}/Doxyfile"
    COMMENT "The reference of the public API: ${SKUA_REFERENCE_DIR}/html/index.html"
    VERBATIM)
  if(SKUA_BUILD_TESTS AND SKUA_TIDY_TESTS)
    add_test(NAME docs_reference COMMAND "${DOXYGEN_EXECUTABLE}" "${PROJECT_BINARY_DIR}/Doxyfile")
    set_tests_properties(docs_reference PROPERTIES TIMEOUT 120)
  endif()
else()
  message(STATUS "Skua: no target docs_reference: it needs Doxygen (Debian: doxygen) and awk.")
endif()
