#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "engine/reply.h"
#include "persist/records_files.h"
#include "persist/snapshot_store.h"

namespace karma {

/// The contents of an export: all of one snapshot, which is kept as long as this object lives.
struct Export {
    explicit Export(SnapshotPin snapshot) : pin(std::move(snapshot)) {}

    SnapshotPin pin;
    std::shared_ptr<const RecordsFile> records;
    std::map<std::string, const SnapshotSeries*, std::less<>> trees;  // by the names of their files
    std::string contents;                                             // JSON: the other files, checkpoints
    /// The client that began it may not see idempotency keys: records are left out.
    bool has_idempotency_keys = true;
};

/// The exports that clients have begun and not ended. Their number is limited, because each takes disk space,
/// and an idle one is dropped after a while. Thread-safe.
class Exports {
public:
    static constexpr std::size_t open_max = 8;
    static constexpr std::chrono::minutes idle_max{10};
    /// The longest idle export that was idle for longer than this ends when another one needs its place.
    static constexpr std::chrono::minutes idle_while_full_max{1};
    static constexpr const char* contents_file = "contents.json";
    static constexpr const char* records_file = "karma.idempotency.json";

    explicit Exports(MonotonicClock clock) : clock_(std::move(clock)) {}

    /// Reserves a place under an unused id. Throws RequestError when all places are taken.
    void reserve(const std::string& id);
    /// Puts the export into its place, where clients find it.
    void fill(const std::string& id, std::shared_ptr<const Export> with);
    /// Throws RequestError `not_found` when there is none of this id (any more).
    std::shared_ptr<const Export> find(std::string_view id);
    /// False when there is none.
    bool end(std::string_view id);

    void drop_idle();
    /// Storage was cleared.
    void forget_all();

private:
    struct Place {
        std::shared_ptr<const Export> filled;  // null while it is being made
        std::chrono::steady_clock::time_point used;
    };

    void drop_idle_locked();
    void make_room_locked();

    MonotonicClock clock_;
    std::mutex mutex_;
    std::map<std::string, Place, std::less<>> places_;
};

}  // namespace karma
