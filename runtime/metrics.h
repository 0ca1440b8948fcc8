// SPDX-License-Identifier: Apache-2.0
//
// Puts the metrics of a runtime together.
#pragma once

#include "blocking_pool/blocking_pool.h"
#include "skua/metrics.h"
#include "workers/worker_set.h"

namespace skua::internal {

// Any thread.
RuntimeMetrics collect_metrics(const WorkerSet& workers, const BlockingPool& pool);

}  // namespace skua::internal
