// SPDX-License-Identifier: Apache-2.0
//
// What the comments of public headers must say. As checks.h: functions of text.
#pragma once

#include <string_view>

#include "tests/tidy/checks.h"

namespace skua::tidy {

// In a public header, whatever can be awaited says what its cancellation leaves, and whatever gives a status says which
// errors there are. It is said above the declaration, or above one before it without an empty line in between; or for
// all of a class or a file; or by a reference to another function ("As read().", "The same ...").
Violations check_contracts(std::string_view path, std::string_view header);

}  // namespace skua::tidy
