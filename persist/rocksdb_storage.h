#pragma once

#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include <rocksdb/db.h>

#include "engine/storage.h"
#include "persist/durable_position.h"

namespace karma {

/// Storage in a RocksDB database, column family by column family as docs/storage-format.md says. RocksDB's
/// own write-ahead log makes a batch atomic and durable.
class RocksdbStorage final : public Storage {
public:
    /// The version of the database's format. A newer one is refused.
    static constexpr std::uint32_t format_version = 1;

    struct Options {
        std::filesystem::path path;  // created when missing; its parent must exist
        /// A new write-ahead log file is begun when the files in use pass this many bytes; 0: only when their
        /// contents fill a buffer.
        std::uint64_t log_segment_bytes = 67'108'864;
        rocksdb::Env* env = nullptr;  // null: the machine's own
        bool read_only = false;       // changes no file; what writes throws
        /// With `read_only`: reads the sound records of damaged write-ahead logs, and leaves gaps in the
        /// place of others.
        bool salvage = false;
        int open_files_max = 256;  // that RocksDB holds open of its tables
    };

    /// Opens or creates. Throws StorageError that says what is wrong and what can be done.
    explicit RocksdbStorage(const Options& options);
    ~RocksdbStorage() override;

    /// The damage around which `salvage` has read when the database was opened.
    const std::vector<std::string>& damage() const noexcept { return damage_; }

    /// Whether the database was closed cleanly before: nothing that was written is missing.
    bool ended_cleanly() const noexcept { return ended_cleanly_; }

    void append(const EventGroup& group, std::span<const RecordChange> records, bool sync) override;
    Lsn next_lsn() const override { return next_lsn_.load(std::memory_order_acquire); }
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
    void reclaim(Table table) override;
    void reclaim_range(Table table, std::string_view begin, std::string_view end) override;
    void tidy() override;
    void end_maintenance() override;
    bool refuses_writes() const noexcept override { return failed_.load(std::memory_order_acquire); }
    void recover() override;
    std::uint64_t log_bytes_from(Lsn from) const override;
    void erase_log_below(Lsn lsn) override;
    void store_durable_position() override;

    /// Makes a durable copy of the database on the same file system. Throws StorageError.
    void copy_to(const std::filesystem::path& path) const;

private:
    static constexpr std::size_t table_count = 4;

    /// Held by each user of the database, so that `recover` can close it and open it again. A holder may take
    /// it again: readers go before a waiting writer.
    using Using = std::shared_lock<std::shared_mutex>;
    Using use() const;

    void open(const Options& options);
    void open_again();
    void try_to_write() const;
    void make_name_durable(const std::filesystem::path& path) const;
    void check_reaches(const std::optional<DurablePosition>& mark) const;
    void mark_closed();
    void remove_bulk_files() const;
    void check_format(bool read_only);
    Lsn find_next_lsn() const;
    rocksdb::ColumnFamilyHandle* family(Table table) const {
        return tables_.at(static_cast<std::size_t>(table));
    }
    void commit(rocksdb::WriteBatch& batch, bool sync, const char* what);
    void compact(rocksdb::ColumnFamilyHandle* in, const rocksdb::Slice* begin, const rocksdb::Slice* end);
    void give_back(rocksdb::ColumnFamilyHandle* in, const rocksdb::Slice& begin, const rocksdb::Slice& end);

    Options options_;
    std::string path_;
    std::shared_ptr<rocksdb::FileSystem> disk_;
    DatabaseFiles files_;
    bool ended_cleanly_ = false;
    bool read_only_;
    std::vector<std::string> damage_;
    std::unique_ptr<rocksdb::Env> env_;  // outlives the database; null where it uses that of the options
    mutable std::shared_mutex opening_;
    std::unique_ptr<rocksdb::DB> db_;  // null while it cannot be opened again
    rocksdb::ColumnFamilyHandle* events_ = nullptr;
    std::array<rocksdb::ColumnFamilyHandle*, table_count> tables_{};
    std::vector<std::unique_ptr<rocksdb::ColumnFamilyHandle>> handles_;  // go before the database does
    std::atomic<Lsn> next_lsn_{1};
    std::atomic<Lsn> appended_lsn_{0};        // the last event of the log
    std::atomic<Lsn> synced_lsn_{0};          // the last one that is synced
    std::atomic<bool> failed_{false};         // nothing is written any more
    std::atomic<bool> append_failed_{false};  // nor after `recover`
    std::atomic<bool> ingest_failed_{false};  // RocksDB itself may refuse to write
    std::mutex mark_mutex_;
    DurablePosition mark_;       // as it was written; under mark_mutex_
    rocksdb::WriteBatch batch_;  // of append; kept, as is the next one, so that its memory is
    std::string key_;
};

}  // namespace karma
