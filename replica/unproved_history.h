#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "replica/discarded.h"
#include "replica/follower_context.h"
#include "replica/handshake.h"

namespace karma::replica {

/// This node's history where nothing proves that the source has it, too: the section "Proof or order" of
/// docs/replication-protocol.md. Says where the two part and what a person can do, and keeps the events that
/// an order gives up. Used by the follower's thread.
class UnprovedHistory {
public:
    /// Both outlive it. `reply`: the source's, which refuses this node or offers a state without proof.
    UnprovedHistory(const FollowerContext& context, const SubscribeReply& reply)
        : context_(context), reply_(reply) {}

    /// The source holds another database.
    bool is_of_stranger() const;
    /// Why this node cannot follow the source, and how to order that it gives up what it has. Throws
    /// FollowingStopped.
    std::string why_refused() const { return why_parted() + order_advice(); }
    /// The second part of that.
    std::string order_advice() const;

    /// Writes the events that the source has not to a file, before anything is given up. Throws StorageError
    /// and FollowingStopped.
    Discarded keep_discarded() const;
    /// The order was carried out: `database` is the path of the database that was moved aside; empty if none
    /// was.
    void note_discarded(const Discarded& discarded, const std::filesystem::path& database) const;

private:
    std::string why_parted() const;
    std::optional<Lsn> common_lsn() const;
    std::optional<Lsn> search_common_lsn() const;

    const FollowerContext& context_;
    const SubscribeReply& reply_;
};

}  // namespace karma::replica
