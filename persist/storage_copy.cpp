#include "persist/storage_copy.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/error.h"
#include "persist/rocksdb_storage.h"
#include "persist/sync_directory.h"

namespace karma {
namespace {

/// Records of one table are written so many at a time.
constexpr std::size_t copied_at_once = 1'000;

/// The last write is synced, and with it what was written before.
void copy_table(const RecordTables& from, RecordTables& to, Table table) {
    std::vector<RecordChange> records;
    const auto write = [&](bool sync) {
        to.write(records, sync);
        records.clear();
    };
    from.scan(table, "", [&](std::string_view key, std::string_view value) {
        records.push_back({table, std::string(key), std::string(value)});
        if (records.size() >= copied_at_once) {
            write(false);
        }
        return true;
    });
    if (!records.empty()) {
        write(true);
    }
}

void copy_log(const EventLog& from, Storage& to) {
    from.read_log(0, [&](const EventGroup& group) {
        if (to.next_lsn() < group.first_lsn) {
            to.skip_to(group.first_lsn);
        }
        to.append(group, {}, false);
        return true;
    });
    if (to.next_lsn() < from.next_lsn()) {
        to.skip_to(from.next_lsn());
    }
}

}  // namespace

void copy_to_directory(const Storage& storage, const std::filesystem::path& path) {
    RocksdbStorage copy(RocksdbStorage::Options{path});
    copy_log(storage, copy);
    // The last one is never empty: what it says of the log is written, and synced, after that.
    for (const Table table : {Table::snapshots, Table::idempotency, Table::streams, Table::meta}) {
        copy_table(storage, copy, table);
    }
    if (const std::error_code failure = sync_directory(path.parent_path())) {
        throw StorageError("cannot make " + path.string() + " durable: " + failure.message());
    }
}

}  // namespace karma
