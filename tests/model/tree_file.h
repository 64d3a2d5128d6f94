#pragma once

#include <string>
#include <string_view>

#include "tests/model/values.h"

namespace karma::test::model {

// Throws std::runtime_error when it is no base64.
std::string from_base64(std::string_view text);

// What a .tree file (docs/karma-1-formats.md) holds. Throws std::runtime_error when it is none: also when a
// key lies in the wrong branch, or its total is not the sum of its table.
Series read_tree_file(std::string_view bytes);

}  // namespace karma::test::model
