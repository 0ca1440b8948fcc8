// SPDX-License-Identifier: Apache-2.0
//
// What the guide's programs check: that things are as the chapters say.
#pragma once

#include <cstdio>
#include <cstdlib>

// Ends the program with status 1 if `holds` is false.
inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not as the guide says: %s\n", what);
  std::exit(1);
}
