// SPDX-License-Identifier: Apache-2.0
#include "benches/rows/rows.h"

namespace skua::bench {

std::vector<SkuaRow> all_rows() {
  std::vector<SkuaRow> rows;
  for (const auto& part :
       {fork_rows(), fork_n_rows(), spawn_rows(), spawn_tree_rows(), yield_rows(), ping_pong_rows(),
        channel_rows(), priority_rows(), blocking_rows(), timer_rows(), file_read_rows()}) {
    rows.insert(rows.end(), part.begin(), part.end());
  }
  return rows;
}

}  // namespace skua::bench
