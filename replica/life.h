#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/epoch.h"
#include "engine/replicated.h"
#include "replica/counted_list.h"
#include "replica/known_node.h"

namespace karma::replica {

/// The content of a heartbeat: the role of the source, and the nodes on which its history depends.
struct Life {
    /// As `role_name` of the node gives it, or "fenced".
    std::string role;
    Epoch known_epoch;  // the latest one that the source was told of, by whomever
    /// Why no node should rely on this source: "is fenced", "follows nobody", ...; empty if all is well.
    std::string doubt;
    /// Why the master, or a node on the way to it, can make nothing durable any more; empty while each can.
    /// It takes no writes then, but still has all that it has acknowledged.
    std::string failure;
    /// The source first, then the node that it follows, and so on; the master, if there is one, is last.
    std::vector<NodeName> chain;
    /// The time since the source last heard the master itself: 0 for a master; nothing if it never has.
    std::optional<std::chrono::milliseconds> master_heard;
    /// The master's --replication-min-acks; nothing where it is not known.
    std::optional<std::uint64_t> min_acks;
    /// The counted followers of the source, a master; sent to a counted follower only.
    std::optional<CountedList> counted;
    /// The other followers of the source.
    std::vector<KnownNode> others;
    /// The nodes that the source knows; nothing if they are those of the heartbeat before.
    std::optional<std::vector<KnownNode>> peers;

    bool is_master() const noexcept { return role == "master"; }
};

/// The most other followers in a heartbeat.
inline constexpr std::size_t others_told_max = 16;
/// The most known nodes in a heartbeat.
inline constexpr std::size_t peers_told_max = 64;

/// As JSON; a reader ignores members that it does not know.
std::string write_life(const Life& life);
/// Throws ChannelError when it is none. Missing members keep their defaults.
Life read_life(std::string_view text);

/// The ids of a chain, as replication.status shows them: in hexadecimal, " > " between them.
std::string chain_text(const std::vector<NodeName>& chain);

/// The role in messages: "master", "slave" or "fenced".
const char* role_text(Role role) noexcept;

}  // namespace karma::replica
