#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/storage.h"
#include "persist/snapshot_store.h"

namespace karma {

/// The result of reading a database back.
struct Verification {
    std::uint64_t snapshots = 0;
    std::uint64_t snapshot_series = 0;
    std::uint64_t pages = 0;  // that are stored; snapshots share them
    std::uint64_t page_bytes = 0;
    std::uint64_t groups = 0;
    std::uint64_t events = 0;
    std::uint64_t log_bytes = 0;
    Lsn first_lsn = 0;  // of the log; 0 without events
    Lsn last_lsn = 0;   // of the state
    std::uint64_t idempotency_records = 0;
    std::uint64_t committed_streams = 0;
    std::uint64_t rebuilt = 0;  // ways in which the state was rebuilt
    std::uint64_t series = 0;   // of the state, as are the next ones
    std::uint64_t keys = 0;
    std::string digest;
    std::vector<std::string> damage;  // each names what and where

    bool is_sound() const noexcept { return damage.empty(); }
};

/// Reads everything back that a database has stored, and checks it: checksums, the contents of pages against
/// their manifests, that the log has no gap, and that every snapshot of everything, with the log after it,
/// gives the same state. Goes on after damage to find all of it.
class Verifier {
public:
    /// Calls `progress` now and then with the completed part, from 0 to 1.
    Verifier(const Storage& storage, const SnapshotStore& snapshots, std::uint64_t hash_seed,
             std::function<void(double)> progress);

    Verification run();

private:
    void check_snapshots();
    void check_log();
    void check_records();
    void rebuild();
    void try_to(const std::function<void()>& work);
    void advance(std::uint64_t bytes);

    const Storage& storage_;
    const SnapshotStore& snapshots_;
    std::uint64_t hash_seed_;
    std::function<void(double)> progress_;
    std::uint64_t bytes_done_ = 0;
    std::uint64_t bytes_in_all_ = 0;
    Lsn unbroken_from_ = 0;  // from here to its end the log has no gap; 0 without events
    Lsn log_end_ = 0;        // the last event of the log
    Verification found_;
    Epochs epochs_;  // of the state from the newest snapshot
};

}  // namespace karma
