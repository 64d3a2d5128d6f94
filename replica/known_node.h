#pragma once

#include <cstdint>
#include <string>

namespace karma::replica {

/// A node as others know it: the id is 0 where it has told none.
struct NodeName {
    std::uint64_t id = 0;
    std::string name;

    bool operator==(const NodeName&) const = default;
};

/// A node that can be asked: where it listens, as far as that is known.
struct KnownNode {
    NodeName node;
    std::string host;
    std::uint16_t port = 0;

    bool operator==(const KnownNode&) const = default;
};

}  // namespace karma::replica
