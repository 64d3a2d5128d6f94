#pragma once

// A configuration has no deep values. What is nested is also destroyed one inside the other, on the stack.
#define TOML_MAX_NESTED_VALUES 16
#include <toml++/toml.h>
