#pragma once

#include <array>
#include <map>
#include <mutex>

#include "engine/storage.h"

namespace karma {

/// Storage that lasts as long as the object: for tests, and for a daemon whose data may go
/// (`--storage=memory`). Thread-safe.
class MemoryStorage final : public Storage {
public:
    MemoryStorage() = default;
    /// Holds what another one holds now.
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
    void erase_prefix(Table table, std::string_view prefix) override;
    void erase_range(Table table, std::string_view begin, std::string_view end) override;
    std::optional<std::string> last_key(Table table, std::string_view prefix) const override;
    std::unique_ptr<BulkWriter> bulk_writer(Table table) override;
    void reclaim(Table /*table*/) override {}
    std::uint64_t log_bytes_from(Lsn from) const override;
    void erase_log_below(Lsn lsn) override;

private:
    struct StoredGroup {
        std::uint32_t count = 0;
        std::string bytes;
    };
    using Records = std::map<std::string, std::string, std::less<>>;

    void apply(std::span<const RecordChange> records);

    mutable std::mutex mutex_;
    std::map<Lsn, StoredGroup> log_;  // by first LSN
    Lsn next_lsn_ = 1;
    std::uint64_t log_bytes_ = 0;
    std::array<Records, 4> tables_;
};

}  // namespace karma
