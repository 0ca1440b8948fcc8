# SPDX-License-Identifier: Apache-2.0
#
# What `cmake --install` puts where: the library, include/, a CMake package and a pkg-config file. In two components:
# libskua is the shared library alone, what programs need to run; libskua-dev is the rest, to build them.

include(CMakePackageConfigHelpers)

set(skua_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/skua")
set(skua_pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

install(TARGETS skua EXPORT skua-targets
  LIBRARY COMPONENT libskua NAMELINK_COMPONENT libskua-dev
  ARCHIVE COMPONENT libskua-dev
  FILE_SET HEADERS COMPONENT libskua-dev
  FILE_SET internal_headers COMPONENT libskua-dev)
install(EXPORT skua-targets NAMESPACE skua:: DESTINATION "${skua_package_dir}" COMPONENT libskua-dev)

# Who links the static library needs what the shared one brings along by itself.
get_target_property(skua_type skua TYPE)
set(skua_public_modules "absl_status, absl_statusor")
set(skua_private_modules
  "absl_cord, absl_core_headers, absl_optional, liburing")
if(skua_type STREQUAL "STATIC_LIBRARY")
  set(SKUA_IS_STATIC ON)
  set(SKUA_PC_REQUIRES "Requires: ${skua_public_modules}, ${skua_private_modules}")
else()
  set(SKUA_IS_STATIC OFF)
  set(SKUA_PC_REQUIRES
    "Requires: ${skua_public_modules}\nRequires.private: ${skua_private_modules}")
endif()

configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/skua-config.cmake.in" "${PROJECT_BINARY_DIR}/skua-config.cmake"
  INSTALL_DESTINATION "${skua_package_dir}")
# Before 1.0 a new minor version may break its users.
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/skua-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/skua-config.cmake"
  "${PROJECT_BINARY_DIR}/skua-config-version.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/Findliburing.cmake"
  DESTINATION "${skua_package_dir}" COMPONENT libskua-dev)

# The prefix is found from the file's own place, so that the installed tree can be moved. An absolute
# library or include directory stays as it is.
file(RELATIVE_PATH SKUA_PC_UP "/prefix/${skua_pc_dir}" "/prefix")
string(REGEX REPLACE "/$" "" SKUA_PC_UP "${SKUA_PC_UP}")
foreach(dir IN ITEMS LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(SKUA_PC_${dir} "${CMAKE_INSTALL_${dir}}")
  else()
    set(SKUA_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
configure_file(
  "${PROJECT_SOURCE_DIR}/cmake/skua.pc.in" "${PROJECT_BINARY_DIR}/skua.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/skua.pc" DESTINATION "${skua_pc_dir}" COMPONENT libskua-dev)
