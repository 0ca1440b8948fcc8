# SPDX-License-Identifier: Apache-2.0
#
# The warnings of Skua's own targets. Private: a consumer's code is never judged by them.

set(SKUA_WARNING_OPTIONS -Wall -Wextra -Wpedantic)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND SKUA_WARNING_OPTIONS -Wthread-safety)
endif()
if(SKUA_WERROR)
  list(APPEND SKUA_WARNING_OPTIONS -Werror)
endif()
