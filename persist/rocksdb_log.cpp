#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string>

#include <rocksdb/convenience.h>
#include <rocksdb/write_batch.h>

#include "engine/error.h"
#include "persist/keys.h"
#include "persist/rocksdb_storage.h"
#include "persist/rocksdb_support.h"
#include "persist/stored_rows.h"

/// RocksdbStorage as an event log.
namespace karma {
namespace {

Lsn key_lsn(std::string_view key) {
    if (key.size() != 8) {
        throw CorruptionError("event log: a key of " + std::to_string(key.size()) + " bytes instead of 8");
    }
    return from_big_endian(key);
}

/// A stored group: the number of its events, so that no one has to decode them to count, and its bytes.
std::array<char, 4> encode_count(std::uint32_t count) noexcept {
    std::array<char, 4> bytes{};
    std::memcpy(bytes.data(), &count, bytes.size());
    return bytes;
}

EventGroup stored_group(std::string_view key, std::string_view value) {
    EventGroup group{key_lsn(key), 0, {}};
    if (value.size() < sizeof group.count) {
        throw CorruptionError("event log: the group at LSN " + std::to_string(group.first_lsn) +
                              " is too short");
    }
    std::memcpy(&group.count, value.data(), sizeof group.count);
    group.bytes = value.substr(sizeof group.count);
    return group;
}

}  // namespace

Lsn RocksdbStorage::find_next_lsn() const {
    StoredRows at(*db_, events_);
    at.to_last();
    if (!at.status().ok()) {
        fail("cannot read the event log of " + path_, at.status());
    }
    if (!at.valid()) {
        return 1;
    }
    const EventGroup last = stored_group(at.key(), at.value());
    return last.first_lsn + last.count;
}

void RocksdbStorage::append(const EventGroup& group, std::span<const RecordChange> records, bool sync) {
    const Lsn expected = next_lsn_.load(std::memory_order_relaxed);
    if (group.first_lsn != expected) {
        throw StorageError("append at LSN " + std::to_string(group.first_lsn) + ": the log goes on at " +
                           std::to_string(expected));
    }
    key_.clear();
    append_big_endian(key_, group.first_lsn);
    batch_.Clear();
    const Using used = use();
    const std::array<char, 4> count = encode_count(group.count);
    const std::array<rocksdb::Slice, 1> key_parts = {slice(key_)};
    const std::array<rocksdb::Slice, 2> value_parts = {rocksdb::Slice(count.data(), count.size()),
                                                       slice(group.bytes)};
    batch_.Put(events_, rocksdb::SliceParts(key_parts.data(), 1), rocksdb::SliceParts(value_parts.data(), 2));
    for (const RecordChange& change : records) {
        if (change.value) {
            batch_.Put(family(change.table), change.key, *change.value);
        } else {
            batch_.Delete(family(change.table), change.key);
        }
    }
    try {
        commit(batch_, sync, "cannot append to the event log of");
    } catch (const StorageError&) {
        append_failed_ = true;
        throw;
    }
    appended_lsn_ = expected + group.count - 1;
    if (sync) {
        synced_lsn_ = expected + group.count - 1;
    }
    next_lsn_.store(expected + group.count, std::memory_order_release);
}

void RocksdbStorage::skip_to(Lsn lsn) {
    if (lsn > next_lsn_.load(std::memory_order_relaxed)) {
        next_lsn_.store(lsn, std::memory_order_release);
    }
}

void RocksdbStorage::read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const {
    const Using used = use();
    rocksdb::ReadOptions options;
    options.readahead_size = 1U << 20U;
    StoredRows at(*db_, events_, options);
    at.to_last_until(big_endian(from));  // the group that may hold it, where there is one
    if (!at.valid()) {
        if (!at.status().ok()) {
            fail("cannot read the event log of " + path_, at.status());
        }
        at.to_first();
    }
    for (; at.valid(); at.next()) {
        const EventGroup group = stored_group(at.key(), at.value());
        if (group.first_lsn + group.count <= from) {
            continue;
        }
        if (!visit(group)) {
            return;
        }
    }
    if (!at.status().ok()) {
        fail("cannot read the event log of " + path_, at.status());
    }
}

std::uint64_t RocksdbStorage::log_bytes() const {
    const Using used(opening_);
    std::uint64_t files = 0;
    std::uint64_t memory = 0;
    if (!db_) {
        return 0;
    }
    db_->GetIntProperty(events_, rocksdb::DB::Properties::kTotalSstFilesSize, &files);
    db_->GetIntProperty(events_, rocksdb::DB::Properties::kCurSizeAllMemTables, &memory);
    return files + memory;
}

std::uint64_t RocksdbStorage::log_bytes_from(Lsn from) const {
    const Using used = use();
    const std::string begin = big_endian(from);
    const std::string end = big_endian(std::numeric_limits<Lsn>::max());
    const rocksdb::Range range(begin, end);
    rocksdb::SizeApproximationOptions options;
    options.include_memtables = true;
    options.include_files = true;
    std::uint64_t bytes = 0;
    const rocksdb::Status status = db_->GetApproximateSizes(options, events_, &range, 1, &bytes);
    if (!status.ok()) {
        fail("cannot measure the event log of " + path_, status);
    }
    return bytes;
}

void RocksdbStorage::erase_log_below(Lsn lsn) {
    const Using used = use();
    // The group that holds the event, or the last group: what is before it goes.
    Lsn first_kept = 0;
    read_log(std::min(lsn, next_lsn() - 1), [&](const EventGroup& group) {
        first_kept = group.first_lsn;
        return false;
    });
    Lsn first = first_kept;
    read_log(0, [&](const EventGroup& group) {
        first = group.first_lsn;
        return false;
    });
    if (first >= first_kept) {
        return;
    }
    // The range begins where the one before it ended: ranges that overlap would cost later reads the square
    // of their number.
    const std::string begin = big_endian(first);
    const std::string end = big_endian(first_kept);
    rocksdb::WriteBatch batch;
    batch.DeleteRange(events_, begin, end);
    commit(batch, false, "cannot delete old events of");
    give_back(events_, begin, end);
}

}  // namespace karma
