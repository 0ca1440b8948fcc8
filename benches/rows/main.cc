// SPDX-License-Identifier: Apache-2.0
//
// skua_rows: Skua's side of the comparison with other schedulers. See benches/README.md.
#include <vector>

#include "benches/harness/program.h"
#include "benches/rows/engine.h"
#include "benches/rows/rows.h"

int main(int argc, char** argv) {
  using namespace skua::bench;
  std::vector<SkuaRow> rows;
  for (const auto& part :
       {fork_rows(), fork_n_rows(), spawn_rows(), spawn_tree_rows(), yield_rows(), ping_pong_rows(),
        channel_rows(), priority_rows(), blocking_rows(), timer_rows(), file_read_rows()}) {
    rows.insert(rows.end(), part.begin(), part.end());
  }
  const ProgramInfo program = {.name = "skua_rows",
                               .purpose = "Runs one row of the scheduler comparison on Skua.",
                               .policies = SkuaEngine::policies()};
  return run_program<SkuaEngine>(program, rows, argc, argv);
}
