#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "engine/storage.h"

namespace karma {

/// Storage that lasts as long as the object: for tests, and for a daemon whose data need not last
/// (`--storage=memory`). Thread-safe. A reader blocks writers only while it finds its position: it does not
/// copy the log, and it copies records a few at a time.
class MemoryStorage final : public Storage {
public:
    MemoryStorage() = default;
    /// Copies the present contents of another one.
    MemoryStorage(const MemoryStorage& other);

    void append(const EventGroup& group, std::span<const RecordChange> records, bool sync) override;
    Lsn next_lsn() const override;
    void skip_to(Lsn lsn) override;
    void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const override;
    std::uint64_t log_bytes() const override;
    void clear(std::span<const RecordChange> records) override;
    void write(std::span<const RecordChange> records, bool sync) override;
    std::optional<std::string> read(Table table, std::string_view key) const override;
    void scan(Table table, std::string_view prefix,
              const std::function<bool(std::string_view, std::string_view)>& visit) const override;
    void scan_from(Table table, std::string_view begin,
                   const std::function<bool(std::string_view, std::string_view)>& visit) const override;
    void erase_prefix(Table table, std::string_view prefix) override;
    void erase_range(Table table, std::string_view begin, std::string_view end) override;
    std::optional<std::string> last_key(Table table, std::string_view prefix) const override;
    std::unique_ptr<BulkWriter> bulk_writer(Table table) override;
    void reclaim(Table /*table*/) override {}
    void reclaim_range(Table /*table*/, std::string_view /*begin*/, std::string_view /*end*/) override {}
    std::uint64_t log_bytes_from(Lsn from) const override;
    void erase_log_below(Lsn lsn) override;

private:
    struct StoredGroup {
        Lsn first_lsn = 0;
        std::uint32_t count = 0;
        std::string bytes;
    };
    /// A part of the log. What was appended never changes, so who holds the chunk reads the groups that it
    /// knew of without the mutex.
    struct Chunk {
        static constexpr std::size_t groups_max = 256;
        std::array<StoredGroup, groups_max> groups;
        std::size_t used = 0;  // under the mutex, as is the next one
        std::uint64_t bytes = 0;
    };
    using Value = std::shared_ptr<const std::string>;
    using Records = std::map<std::string, Value, std::less<>>;

    /// Where a group lies in the log.
    struct Place {
        std::size_t chunk = 0;
        std::size_t group = 0;
    };

    // With the mutex held:
    /// The group that holds an event, or the first one behind it.
    Place place_of(Lsn lsn) const noexcept;
    void apply(std::span<const RecordChange> records);

    mutable std::mutex mutex_;
    std::deque<std::shared_ptr<Chunk>> chunks_;  // none is empty
    std::size_t erased_ = 0;                     // groups of the first chunk that are gone
    Lsn next_lsn_ = 1;
    std::uint64_t log_bytes_ = 0;
    std::array<Records, 4> tables_;
};

}  // namespace karma
