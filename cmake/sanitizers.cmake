# SPDX-License-Identifier: Apache-2.0
#
# Turns SKUA_SANITIZE into options. All code of one process must agree on its sanitizers, so the
# library carries them as usage requirements (of the build tree only, never of the installed target):
# whatever links to it is built alike.

set(SKUA_SANITIZE_OPTIONS "")
if(SKUA_SANITIZE)
  if(SKUA_SANITIZE MATCHES "thread" AND SKUA_SANITIZE MATCHES "address")
    message(FATAL_ERROR "SKUA_SANITIZE=${SKUA_SANITIZE}: thread and address exclude each other.")
  endif()
  set(SKUA_SANITIZE_OPTIONS
    "-fsanitize=${SKUA_SANITIZE}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()

# Builds whatever links to `target` with the sanitizers too, and `target` itself.
function(skua_instrument_users target)
  if(SKUA_SANITIZE_OPTIONS)
    target_compile_options(${target} PUBLIC "$<BUILD_INTERFACE:${SKUA_SANITIZE_OPTIONS}>")
    target_link_options(${target} PUBLIC "$<BUILD_INTERFACE:${SKUA_SANITIZE_OPTIONS}>")
  endif()
endfunction()

# What every test runs with: the first report ends the test.
set(SKUA_SANITIZE_ENVIRONMENT
  "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1"
  "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"
  "UBSAN_OPTIONS=print_stacktrace=1")
