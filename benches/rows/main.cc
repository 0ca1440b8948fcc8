// SPDX-License-Identifier: Apache-2.0
//
// skua_rows: Skua's side of the comparison with other schedulers. See benches/README.md.
#include <vector>

#include "benches/harness/program.h"
#include "benches/rows/engine.h"
#include "benches/rows/rows.h"

int main(int argc, char** argv) {
  using namespace skua::bench;
  const std::vector<SkuaRow> rows = all_rows();
  const ProgramInfo program = {.name = "skua_rows",
                               .purpose = "Runs one row of the scheduler comparison on Skua.",
                               .policies = SkuaEngine::policies(),
                               .backends = SkuaEngine::backends()};
  return run_program<SkuaEngine>(program, rows, argc, argv);
}
