#pragma once

#include <string>
#include <vector>

namespace karma::cli {

/// A warning for each variable of an environment, `NAME=value` and a null pointer at the end, that is called
/// as an option might be and that nothing reads: an option that is misspelt has no effect. Variables that
/// Kubernetes sets for a Service whose name begins with karma are none. Values, which may be tokens, are not
/// shown.
std::vector<std::string> unknown_variables(const char* const* environment);

}  // namespace karma::cli
