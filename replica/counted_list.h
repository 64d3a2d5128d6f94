#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <boost/json/value.hpp>

#include "engine/epoch.h"
#include "replica/known_node.h"

namespace karma::replica {

/// The list of followers whose acknowledgements a master counts in its epoch, as the master and they store
/// it:
/// docs/replication-protocol.md, R7.
struct CountedList {
    struct Member {
        KnownNode node;
        bool is_counted = false;  // else it waits until all that are counted know of it
        std::uint64_t since = 0;  // the first version with it

        bool operator==(const Member&) const = default;
    };

    Epoch epoch;                // number and id
    std::uint64_t master = 0;   // the node id of who made it
    std::uint64_t version = 0;  // greater with each change that followers have to know of
    Lsn told_from = 0;          // followers that have less are not told of it yet
    std::vector<Member> members;

    bool operator==(const CountedList&) const = default;
    const Member* find(std::uint64_t node) const noexcept;
    bool counts(std::uint64_t node) const noexcept;
    bool is_of(const Epoch& other) const noexcept {
        return epoch.number == other.number && epoch.id == other.id;
    }
};

boost::json::value to_json(const CountedList& list);
/// Throws ChannelError when it is none.
CountedList counted_list_in(const boost::json::value& value);

}  // namespace karma::replica
