// SPDX-License-Identifier: Apache-2.0
//
// Waiting for one of several.
#pragma once

#include "skua/when_any.h"  // IWYU pragma: export
