#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace karma::net {

/// Splits a text at `separator` and calls `each` with every part that is not empty.
template <typename Each>
void for_each_part(std::string_view text, char separator, const Each& each) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(separator), text.size());
        if (end != 0) {
            each(text.substr(0, end));
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

}  // namespace karma::net
