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

/// What a source tells its followers with each heartbeat: its role, and on whom its own history depends.
struct Life {
    /// As `role_name` of the node gives it, or "fenced".
    std::string role;
    Epoch known_epoch;  // the latest one that the source was told of, by whomever
    /// Why nobody should count on this source: "is fenced", "follows nobody", ...; empty where all is well.
    std::string doubt;
    /// Why a node on the way to the master, or the master itself, can make nothing durable any more; empty
    /// while each can. It takes no writes then, but is there, with all that it has acknowledged.
    std::string failure;
    /// The source first, then whom it follows, and so on: the master is last, where there is one.
    std::vector<NodeName> chain;
    /// Since the source last heard the master itself: 0 of a master; nothing where it never has.
    std::optional<std::chrono::milliseconds> master_heard;
    /// The master's --replication-min-acks; nothing where it is not known.
    std::optional<std::uint64_t> min_acks;
    /// The followers whose acknowledgements the source counts, which is a master and counts those of the one
    /// that is told this.
    std::optional<CountedList> counted;
    /// The other followers of the source.
    std::vector<KnownNode> others;
    /// The nodes that the source has heard of; nothing where it has told them before.
    std::optional<std::vector<KnownNode>> peers;

    bool is_master() const noexcept { return role == "master"; }
};

/// At most so many other followers are told of.
inline constexpr std::size_t others_told_max = 16;
/// ... and so many nodes that it has heard of.
inline constexpr std::size_t peers_told_max = 64;

/// As JSON; what a reader does not know in it is passed over.
std::string write_life(const Life& life);
/// Throws ChannelError when it is none. What is missing stays as it is by default.
Life read_life(std::string_view text);

/// The ids of a chain, as replication.status shows them: in hexadecimal, " > " between them.
std::string chain_text(const std::vector<NodeName>& chain);

/// As nodes say it: "master", "slave" or "fenced".
const char* role_text(Role role) noexcept;

}  // namespace karma::replica
