#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/replicated.h"
#include "replica/karma1/log.h"
#include "replica/karma1/snapshots.h"
#include "replica/master_client.h"

namespace karma::replica {

/// Follows a Karma 1.0 master: fetches its snapshots and idempotency records, then polls its log. Uses the
/// LSNs of the master. Used by one thread.
class Karma1Follower {
public:
    /// `directory` is for files that have no name and are gone with the process.
    Karma1Follower(Replicated& database, MasterClient master, std::uint32_t batch_size,
                   std::filesystem::path directory);

    /// Whether this node has nothing of the master's yet, or has missed a part of its log.
    bool needs_bootstrap() const;
    /// Replaces this node's state by that of the master's latest snapshots and the events after them. Does
    /// nothing if the master has no snapshot and its whole log can be followed. Throws
    /// ConnectionError, ChannelError, CorruptionError and StorageError.
    void bootstrap();

    struct Polled {
        std::uint64_t applied = 0;
        Lsn source_lsn = 0;
        std::uint64_t refused = 0;  // of those applied, without effect: the master has refused them as well
        std::string first_refused;  // why
    };
    /// Takes the next events. Throws as `bootstrap`.
    Polled poll();

private:
    /// Removes the files of series that were dropped before the log begins, and returns the LSN after which
    /// events are needed.
    Lsn first_position(SnapshotList& snapshots);
    void add_trees(ForeignStateWriter& state, const SnapshotList& snapshots);
    void add_records(ForeignStateWriter& state, const RecordsSnapshot& records);
    void add_events(ForeignStateWriter& state, Lsn after);
    void replicate(const Event& event, Polled& polled);
    /// Notes that only a state of this LSN or later helps.
    void need_state_at(Lsn lsn, const std::string& why);

    Replicated& database_;
    MasterClient master_;
    Karma1Log log_{master_, database_};
    std::uint32_t batch_size_;
    std::filesystem::path directory_;
    /// Whether this node's data certainly came from the master, so that a newer state may replace it.
    bool is_masters_ = false;
    Lsn needed_lsn_ = 0;  // of the state that is needed; 0: of none
    std::string needed_why_;
};

}  // namespace karma::replica
