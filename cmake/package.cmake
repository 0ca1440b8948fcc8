# SPDX-License-Identifier: Apache-2.0
#
# `cpack -G DEB` in the build directory makes packages for Debian of what install.cmake installs:
#
#   libskua0.1     the shared library; its dependencies are those of the symbols that it uses (dpkg-shlibdeps)
#   libskua-dev    headers, CMake package and pkg-config file; of a static build, the library too, and no other package
#
# Configure with -DCMAKE_INSTALL_PREFIX=/usr, for Debian's library directory, and -DBUILD_SHARED_LIBS=ON.

set(skua_soname_version "${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}")
set(skua_library_package "libskua${skua_soname_version}")

set(CPACK_PACKAGE_NAME skua)
set(CPACK_PACKAGE_VERSION "${PROJECT_VERSION}")
set(CPACK_PACKAGE_VENDOR "The authors of Skua")
if(NOT CPACK_PACKAGE_CONTACT)  # Who publishes packages says -DCPACK_PACKAGE_CONTACT="Name <address>".
  set(CPACK_PACKAGE_CONTACT "The authors of Skua")
endif()
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_FILE_NAME "skua-${PROJECT_VERSION}")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_PACKAGING_INSTALL_PREFIX "${CMAKE_INSTALL_PREFIX}")
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_DEB_COMPONENT_INSTALL ON)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_LIBSKUA-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBSKUA-DEV_PACKAGE_NAME libskua-dev)
set(CPACK_DEBIAN_LIBSKUA-DEV_PACKAGE_DEPENDS "libabsl-dev (>= 20220623), liburing-dev (>= 2.3)")
set(CPACK_DEBIAN_LIBSKUA-DEV_DESCRIPTION
  "Headers, CMake package and pkg-config file.")

set(skua_doc_dir "${CMAKE_INSTALL_DATAROOTDIR}/doc")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" RENAME copyright
  DESTINATION "${skua_doc_dir}/libskua-dev" COMPONENT libskua-dev)

if(skua_type STREQUAL "STATIC_LIBRARY")
  set(CPACK_COMPONENTS_ALL libskua-dev)
else()
  set(CPACK_COMPONENTS_ALL libskua libskua-dev)
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" RENAME copyright
    DESTINATION "${skua_doc_dir}/${skua_library_package}" COMPONENT libskua)
  set(CPACK_DEBIAN_LIBSKUA_PACKAGE_NAME "${skua_library_package}")
  set(CPACK_DEBIAN_LIBSKUA_PACKAGE_SECTION libs)
  set(CPACK_DEBIAN_LIBSKUA_PACKAGE_SHLIBDEPS ON)
  # For who makes a package of a program: which package the library is in.
  set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
  set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
  set(CPACK_DEBIAN_LIBSKUA_DESCRIPTION
    "The shared library. Work stealing, io_uring, timers, structured concurrency.")
  string(APPEND CPACK_DEBIAN_LIBSKUA-DEV_PACKAGE_DEPENDS
    ", ${skua_library_package} (= ${PROJECT_VERSION})")
endif()

include(CPack)
