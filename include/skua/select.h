// SPDX-License-Identifier: Apache-2.0
//
// Waiting for one of several: of tasks (when_any), or of operations, with nothing lost (select).
#pragma once

#include "skua/sync/select.h"  // IWYU pragma: export
#include "skua/when_any.h"     // IWYU pragma: export
