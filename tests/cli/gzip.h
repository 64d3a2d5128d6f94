#pragma once

#include <string>
#include <string_view>

namespace karma::test {

// One gzip member with these bytes. Throws std::runtime_error when zlib fails.
std::string gzip(std::string_view bytes);

}  // namespace karma::test
