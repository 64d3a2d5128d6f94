#pragma once

#include <cstddef>

namespace karma::test {

// Raises the test's own limit of open files as far as it goes, and returns it.
std::size_t raise_open_files();

}  // namespace karma::test
