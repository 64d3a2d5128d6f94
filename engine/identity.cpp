#include "engine/identity.h"

#include <algorithm>
#include <charconv>

namespace karma {
namespace {

constexpr std::size_t digits = 16;  // of 64 bits

void append_hex(std::string& out, std::uint64_t number) {
    constexpr std::string_view values = "0123456789abcdef";
    for (std::size_t i = digits; i-- > 0;) {
        out.push_back(values[(number >> (4 * i)) & 15U]);
    }
}

}  // namespace

std::string node_id_text(NodeId id) {
    std::string text;
    append_hex(text, id);
    return text;
}

std::optional<NodeId> node_id_from_text(std::string_view text) noexcept {
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    if (text.size() != digits || !std::ranges::all_of(text, is_digit)) {
        return std::nullopt;
    }
    NodeId id = 0;
    std::from_chars(text.data(), text.data() + text.size(), id, 16);
    return id;
}

std::string DatabaseId::text() const {
    std::string text;
    append_hex(text, high);
    append_hex(text, low);
    return text;
}

std::optional<DatabaseId> DatabaseId::from_text(std::string_view text) noexcept {
    const std::optional<std::uint64_t> high = node_id_from_text(text.substr(0, digits));
    const std::optional<std::uint64_t> low = node_id_from_text(text.substr(std::min(digits, text.size())));
    return high && low ? std::optional(DatabaseId{*high, *low}) : std::nullopt;
}

}  // namespace karma
