#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace karma {

/// The identity of a database, the same on all of its nodes: 128 random bits, drawn when it is created. All
/// bits 0: not known.
struct DatabaseId {
    std::uint64_t high = 0;
    std::uint64_t low = 0;

    bool operator==(const DatabaseId&) const = default;
    bool is_known() const noexcept { return high != 0 || low != 0; }
    /// 32 hexadecimal digits, lower case.
    std::string text() const;
    /// Nothing where the text is not 32 hexadecimal digits, lower case.
    static std::optional<DatabaseId> from_text(std::string_view text) noexcept;
};

/// Whether two nodes hold different databases, if both ids are known.
inline bool are_strangers(const DatabaseId& one, const DatabaseId& other) noexcept {
    return one.is_known() && other.is_known() && one != other;
}

/// The identity of a node, which a copy of its directory does not share: 64 random bits. 0: not known.
using NodeId = std::uint64_t;

/// 16 hexadecimal digits, lower case.
std::string node_id_text(NodeId id);
/// Nothing where the text is not 16 hexadecimal digits, lower case.
std::optional<NodeId> node_id_from_text(std::string_view text) noexcept;

}  // namespace karma
