#pragma once

// A configuration has no deep values. What is nested is also destroyed one inside the other, on the stack.
#define TOML_MAX_NESTED_VALUES 16

// toml++ 3.3 asserts that a key begins where a table header like "[=" has none, before it refuses the key: an
// error of the file's is none of the program's. Its assertions are kept out as NDEBUG does it; what the
// parser does then is run on damaged files with the address sanitizer.
#define TOML_ASSERT(expression) static_assert(true)
#include <toml++/toml.h>
