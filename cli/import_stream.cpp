#include "cli/import_stream.h"

#include <array>
#include <cstdio>

#include "persist/content_hash.h"
#include "persist/random_number.h"

namespace karma::cli {

std::string import_id_of_content(std::string_view content_hash, std::string_view series, BatchMode mode,
                                 std::uint64_t repeat) {
    std::string text = "karma import 1\n";
    text += mode == BatchMode::add ? "add\n" : "set\n";
    text += std::to_string(repeat) + '\n' + std::to_string(series.size()) + ':';
    text += series;
    text += '\n';
    text += content_hash;
    ContentHash hash;
    hash.add(text);
    return hash.take();
}

std::string random_import_id() {
    std::array<char, 33> digits{};
    (void)std::snprintf(digits.data(), digits.size(), "%016llx%016llx",
                        static_cast<unsigned long long>(random_number()),
                        static_cast<unsigned long long>(random_number()));
    return digits.data();
}

}  // namespace karma::cli
