# SPDX-License-Identifier: Apache-2.0

# What the library, its tests, examples and benchmarks have in common.
function(skua_configure_target target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  # Private headers are spelled from the root. -iquote keeps our folders away from <net/if.h>.
  target_compile_options(${target} PRIVATE
    ${SKUA_WARNING_OPTIONS} "SHELL:-iquote \"${PROJECT_SOURCE_DIR}\"")
endfunction()
