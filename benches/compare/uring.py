# SPDX-License-Identifier: Apache-2.0
"""Whether io_uring is there: containers' filters and sysctls refuse it."""

from __future__ import annotations

import ctypes
import errno
import functools
import os

_IO_URING_SETUP = 425  # On every architecture.
_PARAMS_BYTES = 120  # Of struct io_uring_params.


@functools.lru_cache(maxsize=None)
def refused() -> str | None:
    """Makes a ring and closes it. Why that did not work, by errno's name; None if it did."""
    libc = ctypes.CDLL(None, use_errno=True)
    params = ctypes.create_string_buffer(_PARAMS_BYTES)
    libc.syscall.restype = ctypes.c_long
    ring = libc.syscall(ctypes.c_long(_IO_URING_SETUP), ctypes.c_uint(1), params)
    if ring < 0:
        number = ctypes.get_errno()
        return errno.errorcode.get(number, str(number))
    os.close(ring)
    return None
