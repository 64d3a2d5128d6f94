#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "engine/record_tables.h"
#include "engine/reply.h"
#include "engine/scan.h"
#include "persist/records_file.h"

namespace karma {

/// Monotonic time, for what is dropped when nobody has asked for it for a while.
using MonotonicClock = std::function<std::chrono::steady_clock::time_point()>;

/// The `karma.idempotency.json` files that clients are fetching, which need not say of which snapshot. Those
/// of several snapshots are kept while they are fetched, and no client gets parts of two: where it is not
/// certain which one a client means, because a part was asked for again or its file is gone, it is refused.
/// Thread-safe.
class RecordsFiles {
public:
    static constexpr std::size_t kept_max = 4;
    static constexpr std::chrono::minutes idle_max{10};

    /// `tables` outlives this; `directory` is where the files lie.
    RecordsFiles(const RecordTables& tables, std::filesystem::path directory, MonotonicClock clock);

    struct Opened {
        reply::IdempotencySnapshot about;  // with its bytes
        std::shared_ptr<const RecordsFile> file;
    };

    /// The file that a client goes on with at an offset to read `limit` bytes: that of the snapshot at
    /// `last_lsn`; without it the one of `latest` at its beginning, and otherwise the only one that is being
    /// fetched up to there. Makes that of `latest` where it is missing; others wait meanwhile. Throws
    /// RequestError where the file is gone or which one is meant is not certain, or when the deadline comes
    /// first, StorageError where it cannot be written.
    Opened open(const reply::IdempotencySnapshot& latest, Lsn first_record_lsn, std::optional<Lsn> last_lsn,
                std::uint64_t offset, std::uint64_t limit, const Deadline& deadline);

    /// The size of the file of the snapshot at an LSN, where it has been made; does not wait for who is
    /// making one.
    std::optional<std::uint64_t> size_of(Lsn last_lsn) const;

    /// Gives back the disk space of files that nobody fetches any more.
    void drop_idle();

    /// Held by who replaces all that is stored: no file is made meanwhile.
    using Excluding = std::unique_lock<std::mutex>;
    Excluding exclude() { return Excluding(mutex_); }
    void forget_all(const Excluding& excluding);

private:
    struct Fetched {
        reply::IdempotencySnapshot about;
        std::shared_ptr<const RecordsFile> file;          // null: it is gone, but somebody may go on with it
        std::map<std::uint64_t, std::uint64_t> expected;  // offsets that clients will ask for; how many
        std::set<std::uint64_t> asked;                    // for which they have asked, and may ask again
        std::uint64_t served_to = 0;                      // the furthest end of a part
        std::chrono::steady_clock::time_point used;
    };
    using Files = std::list<Fetched>;  // the last one that was used first

    Files::iterator find(Lsn last_lsn);
    Files::iterator find_by_offset(std::uint64_t offset);
    static void note_part(Fetched& file, std::uint64_t offset, std::uint64_t limit);
    void drop(Fetched& file);
    Files::iterator make(const reply::IdempotencySnapshot& about, Lsn first_record_lsn,
                         const Deadline& deadline);
    void drop_idle_locked();

    const RecordTables& tables_;
    std::filesystem::path directory_;
    MonotonicClock clock_;
    mutable std::mutex mutex_;
    Files files_;
};

}  // namespace karma
