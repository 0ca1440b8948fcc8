# SPDX-License-Identifier: Apache-2.0
#
# Builds the tree that it stands in. In a registry: vcpkg_from_git() of a release instead.

get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)

# Tells the version of liburing, which has no CMake package.
vcpkg_find_acquire_program(PKGCONFIG)
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    "-DPKG_CONFIG_EXECUTABLE=${PKGCONFIG}"
    -DSKUA_BUILD_TESTS=OFF
    -DSKUA_BUILD_EXAMPLES=OFF
    -DSKUA_BUILD_BENCHES=OFF
    -DSKUA_INSTALL=ON
    -DSKUA_PACK=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(PACKAGE_NAME skua CONFIG_PATH lib/cmake/skua)
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
