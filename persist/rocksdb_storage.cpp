#include "persist/rocksdb_storage.h"

#include <algorithm>
#include <charconv>
#include <cstdarg>
#include <cstring>
#include <limits>
#include <utility>

#include <rocksdb/convenience.h>
#include <rocksdb/file_system.h>
#include <rocksdb/options.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include "engine/error.h"
#include "persist/keys.h"
#include "persist/log_file_order.h"
#include "persist/salvage_files.h"
#include "persist/snapshot_table.h"
#include "persist/stored_rows.h"
#include "persist/table_file_writer.h"

namespace karma {
namespace {

constexpr const char* format_key = "format_version";

Lsn key_lsn(std::string_view key) {
    if (key.size() != 8) {
        throw CorruptionError("event log: a key of " + std::to_string(key.size()) + " bytes instead of 8");
    }
    return from_big_endian(key);
}

rocksdb::Slice slice(std::string_view text) noexcept { return {text.data(), text.size()}; }

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

[[noreturn]] void fail(const std::string& what, const rocksdb::Status& status) {
    if (status.IsCorruption()) {
        throw CorruptionError(what + ": " + status.ToString());
    }
    throw StorageError(what + ": " + status.ToString());
}

/// Writes nothing: a database that is only read stays as it is.
class NoInfoLog final : public rocksdb::Logger {
public:
    using rocksdb::Logger::Logv;
    void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

rocksdb::Options database_options(const RocksdbStorage::Options& options) {
    rocksdb::Options result;
    result.create_if_missing = true;
    result.create_missing_column_families = true;
    if (options.env != nullptr) {
        result.env = options.env;
    }
    // Only the tail of the log may be torn by a crash; damage anywhere else must be seen, not skipped.
    result.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
    if (options.read_only && options.salvage) {
        // Events that are lost with a record leave a hole in their LSNs, which whoever reads the log sees.
        result.wal_recovery_mode = rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;
    }
    if (options.read_only) {
        result.info_log = std::make_shared<NoInfoLog>();
    }
    result.max_total_wal_size = options.log_segment_bytes == 0 ? std::numeric_limits<std::uint64_t>::max()
                                                               : options.log_segment_bytes;
    result.paranoid_checks = true;
    result.max_open_files = options.open_files_max;
    result.keep_log_file_num = 4;
    result.max_log_file_size = 1 << 20;
    result.max_background_jobs = 2;
    result.stats_dump_period_sec = 0;
    result.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
    // One thread appends, so the machinery for many writers only costs.
    result.allow_concurrent_memtable_write = false;
    result.enable_write_thread_adaptive_yield = false;
    return result;
}

/// A compaction holds all tables of level 0 open, however few may be: where that is, writes wait earlier for
/// it.
void bound_tables(rocksdb::ColumnFamilyOptions& options, int open_files_max) {
    options.level0_slowdown_writes_trigger =
        std::min(options.level0_slowdown_writes_trigger, std::max(open_files_max / 3, 6));
    options.level0_stop_writes_trigger =
        std::min(options.level0_stop_writes_trigger, std::max(open_files_max / 2, 10));
}

/// Events arrive in key order and are never changed: files are moved down a level, not rewritten.
rocksdb::ColumnFamilyOptions log_options(const RocksdbStorage::Options& options) {
    rocksdb::ColumnFamilyOptions result;
    constexpr std::uint64_t buffer_bytes = 64U << 20U;
    result.write_buffer_size =
        options.log_segment_bytes == 0 ? buffer_bytes : std::min(options.log_segment_bytes, buffer_bytes);
    result.max_write_buffer_number = 3;
    result.compression = rocksdb::kNoCompression;
    bound_tables(result, options.open_files_max);
    return result;
}

/// Calls `visit` for each row from a key on, until it returns false.
void visit_rows(StoredRows& rows, std::string_view begin,
                const std::function<bool(std::string_view, std::string_view)>& visit,
                const std::string& path) {
    for (rows.to(begin); rows.valid(); rows.next()) {
        if (!visit(rows.key(), rows.value())) {
            return;
        }
    }
    if (!rows.status().ok()) {
        fail("cannot read from " + path, rows.status());
    }
}

}  // namespace

RocksdbStorage::RocksdbStorage(const Options& options)
    : options_(options),
      path_(options.path.string()),
      disk_(options.env == nullptr ? rocksdb::FileSystem::Default() : options.env->GetFileSystem()),
      files_(*disk_, path_),
      read_only_(options.read_only) {
    std::optional<DurableMark> mark;
    if (options.read_only && options.salvage) {
        damage_ = files_.damage(mark);
        env_ = make_salvage_env(disk_);
    } else {
        mark = files_.check();
        if (!options.read_only) {
            env_ = make_log_ordering_env(options.env == nullptr ? *rocksdb::Env::Default() : *options.env);
        }
    }
    ended_cleanly_ = mark && mark->is_closed;
    open(options);
    if (!options.read_only) {
        make_name_durable(options.path);
        remove_bulk_files();
    }
    check_format(options.read_only);
    next_lsn_ = find_next_lsn();
    appended_lsn_ = next_lsn_ - 1;
    try {
        check_reaches(mark);
    } catch (const CorruptionError& failure) {
        if (!options.salvage) {
            throw;
        }
        damage_.emplace_back(failure.what());
    }
    if (!options.read_only) {
        // What was replayed from the write-ahead log is in tables now.
        synced_lsn_ = appended_lsn_.load();
        mark_durable();
    }
}

/// Taken in any order beside other locks, and again by a thread that has it: readers of glibc's rwlock never
/// wait for a writer that waits itself, and `recover`, the only writer, takes no other lock while it has it.
RocksdbStorage::Using RocksdbStorage::use() const {
    Using use(opening_);
    if (!db_) {
        throw StorageError("database " + path_ + " could not be opened again after a failure");
    }
    return use;
}

void RocksdbStorage::open(const Options& options) {
    rocksdb::ColumnFamilyOptions plain;
    plain.write_buffer_size = 16U << 20U;
    // Fingerprints do not get smaller, and pages are compact.
    plain.compression = rocksdb::kNoCompression;
    bound_tables(plain, options.open_files_max);
    rocksdb::ColumnFamilyOptions snapshots = plain;
    snapshots.table_factory = make_snapshot_table_factory();
    const std::vector<rocksdb::ColumnFamilyDescriptor> families = {
        {rocksdb::kDefaultColumnFamilyName, plain},
        {"events", log_options(options)},
        {"snapshots", snapshots},
        {"idempotency", log_options(options)},
        {"streams", plain},
    };
    rocksdb::DB* db = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::Options with = database_options(options);
    if (env_) {
        with.env = env_.get();
    }
    const rocksdb::Status status = options.read_only
                                       ? rocksdb::DB::OpenForReadOnly(with, path_, families, &handles, &db)
                                       : rocksdb::DB::Open(with, path_, families, &handles, &db);
    if (!status.ok()) {
        if (status.ToString().find("Column families not opened") != std::string::npos ||
            status.ToString().find("Column family not found") != std::string::npos) {
            throw StorageError("database " + path_ +
                               " was written by a newer version of Karma: start it with that version (" +
                               status.ToString() + ")");
        }
        fail("cannot open database " + path_, status);
    }
    db_.reset(db);
    for (rocksdb::ColumnFamilyHandle* const handle : handles) {
        handles_.emplace_back(handle);
    }
    tables_ = {handles[0], handles[2], handles[3], handles[4]};
    events_ = handles[1];
}

RocksdbStorage::~RocksdbStorage() {
    if (!read_only_ && !failed_) {
        mark_closed();
    }
}

// ---- after a failure

void RocksdbStorage::recover() {
    if (!failed_ && !ingest_failed_) {
        return;
    }
    if (append_failed_ || read_only_) {
        throw StorageError("the event log of " + path_ + " could not be written: only a restart can go on");
    }
    try_to_write();
    {
        const std::unique_lock closing(opening_);
        open_again();
    }
    failed_ = false;
    ingest_failed_ = false;
    mark_durable();
}

/// RocksDB accepts nothing any more after a failed write, and its log may end in a part of it: only opening
/// the database anew gives a log that can be written.
void RocksdbStorage::open_again() {
    handles_.clear();
    if (db_) {
        db_->Close().PermitUncheckedError();
        db_.reset();
    }
    open(options_);
    next_lsn_ = std::max(next_lsn_.load(), find_next_lsn());
}

/// As long as nothing can be written, the database stays open to be read.
void RocksdbStorage::try_to_write() const {
    const std::string path = path_ + "/" + table_file_prefix + "probe";
    const std::string bytes(64U << 10U, '\0');
    std::unique_ptr<rocksdb::FSWritableFile> file;
    rocksdb::IOStatus status = disk_->NewWritableFile(path, rocksdb::FileOptions(), &file, nullptr);
    if (status.ok()) {
        status = file->Append(bytes, rocksdb::IOOptions(), nullptr);
    }
    if (status.ok()) {
        status = file->Sync(rocksdb::IOOptions(), nullptr);
    }
    if (file) {
        const rocksdb::IOStatus closed = file->Close(rocksdb::IOOptions(), nullptr);
        status = status.ok() ? closed : status;
        disk_->DeleteFile(path, rocksdb::IOOptions(), nullptr).PermitUncheckedError();
    }
    if (!status.ok()) {
        throw StorageError("cannot write to " + path_ + ": " + status.ToString());
    }
}

// ---- what is known to be durable

void RocksdbStorage::check_reaches(const std::optional<DurableMark>& mark) const {
    if (mark && mark->lsn > appended_lsn_) {
        throw CorruptionError("the event log of " + path_ + " reaches to LSN " +
                              std::to_string(appended_lsn_.load()) + " and was synced up to LSN " +
                              std::to_string(mark->lsn) +
                              ": write-ahead log or tables are cut or missing, put them back from a backup");
    }
}

void RocksdbStorage::mark_durable() {
    const Using used = use();
    const std::lock_guard lock(mark_mutex_);
    DurableMark mark{synced_lsn_, {}, 0};
    std::vector<std::string> files;
    const rocksdb::Status status = db_->GetLiveFiles(files, &mark.manifest_bytes, false);
    if (!status.ok()) {
        throw StorageError("cannot list the files of " + path_ + ": " + status.ToString());
    }
    for (const std::string& file : files) {
        if (file.starts_with("/MANIFEST-")) {
            mark.manifest = file.substr(1);
        }
    }
    if (!(mark == mark_)) {
        files_.write_mark(mark);
        mark_ = std::move(mark);
    }
}

/// At the end. Where it fails the mark before it stays, which says less.
void RocksdbStorage::mark_closed() {
    if (!db_) {
        return;
    }
    handles_.clear();
    if (!db_->Close().ok()) {
        return;
    }
    db_.reset();
    try {
        files_.write_mark(files_.mark_of_closed(appended_lsn_));
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): see above
    }
}

/// RocksDB syncs what is in its directory, not the name of the directory: a new one could vanish as a whole.
void RocksdbStorage::make_name_durable(const std::filesystem::path& path) const {
    const std::string parent = std::filesystem::absolute(path).parent_path().string();
    std::unique_ptr<rocksdb::FSDirectory> directory;
    rocksdb::IOStatus status =
        db_->GetFileSystem()->NewDirectory(parent, rocksdb::IOOptions(), &directory, nullptr);
    if (status.ok()) {
        status = directory->Fsync(rocksdb::IOOptions(), nullptr);
    }
    if (!status.ok()) {
        fail("cannot sync directory " + parent, status);
    }
}

void RocksdbStorage::copy_to(const std::filesystem::path& path) const {
    rocksdb::Checkpoint* made = nullptr;
    rocksdb::Status status = rocksdb::Checkpoint::Create(db_.get(), &made);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
    if (status.ok()) {
        status = checkpoint->CreateCheckpoint(path.string());
    }
    if (!status.ok()) {
        fail("cannot copy database " + path_ + " to " + path.string(), status);
    }
    make_name_durable(path);
}

/// Table files that a crash kept from being taken in.
void RocksdbStorage::remove_bulk_files() const {
    std::vector<std::string> names;
    if (!db_->GetEnv()->GetChildren(path_, &names).ok()) {
        return;
    }
    for (const std::string& name : names) {
        if (name.starts_with(table_file_prefix)) {
            db_->GetEnv()->DeleteFile(path_ + "/" + name).PermitUncheckedError();
        }
    }
}

void RocksdbStorage::check_format(bool read_only) {
    const std::optional<std::string> stored = read(Table::meta, format_key);
    if (!stored && read_only) {
        throw StorageError("database " + path_ + " was never finished: it has no format version");
    }
    if (!stored) {
        const RecordChange change{Table::meta, format_key, std::to_string(format_version)};
        write(std::span(&change, 1), true);
        return;
    }
    std::uint32_t version = 0;
    const auto [end, failure] = std::from_chars(stored->data(), stored->data() + stored->size(), version);
    if (failure != std::errc{} || end != stored->data() + stored->size()) {
        throw CorruptionError("database " + path_ + ": its format version is not a number");
    }
    if (version > format_version) {
        throw StorageError("database " + path_ + " is of format " + *stored +
                           ", this program knows formats up to " + std::to_string(format_version) +
                           ": start it with a newer version of Karma");
    }
}

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

void RocksdbStorage::commit(rocksdb::WriteBatch& batch, bool sync, const char* what) {
    if (failed_) {
        throw StorageError(std::string(what) + " " + path_ + ": refused after an earlier failure");
    }
    rocksdb::WriteOptions options;
    options.sync = sync;
    const rocksdb::Status status = db_->Write(options, &batch);
    if (!status.ok()) {
        failed_ = true;
        throw StorageError(std::string(what) + " " + path_ + ": " + status.ToString());
    }
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

void RocksdbStorage::write(std::span<const RecordChange> records, bool sync) {
    const Using used = use();
    rocksdb::WriteBatch batch;
    for (const RecordChange& change : records) {
        if (change.value) {
            batch.Put(family(change.table), change.key, *change.value);
        } else {
            batch.Delete(family(change.table), change.key);
        }
    }
    commit(batch, sync, "cannot write to");
}

void RocksdbStorage::clear(std::span<const RecordChange> records) {
    const Using used = use();
    // No key begins with such a byte: they are texts in UTF-8, and numbers below 2^63.
    const std::string end(8, '\xff');
    const rocksdb::Slice first;
    const rocksdb::Slice last(end);
    rocksdb::WriteBatch batch;
    for (const std::unique_ptr<rocksdb::ColumnFamilyHandle>& handle : handles_) {
        batch.DeleteRange(handle.get(), first, last);
    }
    batch.Put(family(Table::meta), format_key, std::to_string(format_version));
    for (const RecordChange& change : records) {
        batch.Put(family(change.table), change.key, change.value.value());
    }
    {
        // The mark is the first to go: without one less can be checked, with that one nothing could start.
        const std::lock_guard lock(mark_mutex_);
        appended_lsn_ = 0;
        synced_lsn_ = 0;
        mark_.lsn = 0;
        files_.write_mark(mark_);
        commit(batch, true, "cannot clear");
    }
    next_lsn_.store(1, std::memory_order_release);
    for (const std::unique_ptr<rocksdb::ColumnFamilyHandle>& handle : handles_) {
        // Only what is removed already; where it fails the space is given back later.
        rocksdb::DeleteFilesInRange(db_.get(), handle.get(), &first, &last, false).PermitUncheckedError();
    }
}

std::optional<std::string> RocksdbStorage::read(Table table, std::string_view key) const {
    const Using used = use();
    std::string value;
    const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), family(table), slice(key), &value);
    if (status.IsNotFound()) {
        return std::nullopt;
    }
    if (!status.ok()) {
        fail("cannot read from " + path_, status);
    }
    return value;
}

void RocksdbStorage::scan(Table table, std::string_view prefix,
                          const std::function<bool(std::string_view, std::string_view)>& visit) const {
    const Using used = use();
    const std::string end = prefix_end(prefix);
    const rocksdb::Slice bound(end);
    rocksdb::ReadOptions options;
    if (!end.empty()) {
        options.iterate_upper_bound = &bound;  // nothing behind is read
    }
    StoredRows at(*db_, family(table), options);
    visit_rows(at, prefix, visit, path_);
}

void RocksdbStorage::scan_from(Table table, std::string_view begin,
                               const std::function<bool(std::string_view, std::string_view)>& visit) const {
    const Using used = use();
    StoredRows at(*db_, family(table));
    visit_rows(at, begin, visit, path_);
}

void RocksdbStorage::erase_prefix(Table table, std::string_view prefix) {
    const Using used = use();
    rocksdb::WriteBatch batch;
    if (const std::string end = prefix_end(prefix); !end.empty()) {
        batch.DeleteRange(family(table), slice(prefix), end);
    } else {
        scan(table, prefix, [&](std::string_view key, std::string_view) {
            batch.Delete(family(table), slice(key));
            return true;
        });
    }
    commit(batch, false, "cannot write to");
}

void RocksdbStorage::erase_range(Table table, std::string_view begin, std::string_view end) {
    if (begin >= end) {
        return;
    }
    const Using used = use();
    rocksdb::WriteBatch batch;
    batch.DeleteRange(family(table), slice(begin), slice(end));
    commit(batch, false, "cannot write to");
}

std::optional<std::string> RocksdbStorage::last_key(Table table, std::string_view prefix) const {
    const Using used = use();
    StoredRows at(*db_, family(table));
    const std::string end = prefix_end(prefix);
    if (end.empty()) {
        at.to_last();
    } else {
        at.to_last_until(end);
        if (at.valid() && at.key() == end) {
            at.previous();
        }
    }
    if (!at.status().ok()) {
        fail("cannot read from " + path_, at.status());
    }
    if (!at.valid() || !at.key().starts_with(prefix)) {
        return std::nullopt;
    }
    return std::string(at.key());
}

std::unique_ptr<BulkWriter> RocksdbStorage::bulk_writer(Table table) {
    Using used = use();
    return std::make_unique<TableFileWriter>(std::move(used), *db_, *family(table), path_, ingest_failed_);
}

void RocksdbStorage::compact(rocksdb::ColumnFamilyHandle* in, const rocksdb::Slice* begin,
                             const rocksdb::Slice* end) {
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;  // what goes on by itself goes on
    options.allow_write_stall = false;
    // A file that is only moved down a level keeps what it says of removed records.
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    const rocksdb::Status status = db_->CompactRange(options, in, begin, end);
    if (!status.ok() && !status.IsIncomplete()) {
        throw StorageError("cannot compact " + path_ + ": " + status.ToString());
    }
}

/// Of a range that was removed: whole files at once, then what is left of it.
void RocksdbStorage::give_back(rocksdb::ColumnFamilyHandle* in, const rocksdb::Slice& begin,
                               const rocksdb::Slice& end) {
    const rocksdb::Status status = rocksdb::DeleteFilesInRange(db_.get(), in, &begin, &end, false);
    if (!status.ok()) {
        throw StorageError("cannot delete files of " + path_ + ": " + status.ToString());
    }
    compact(in, &begin, &end);
}

void RocksdbStorage::reclaim(Table table) {
    const Using used = use();
    compact(family(table), nullptr, nullptr);
}

void RocksdbStorage::reclaim_range(Table table, std::string_view begin, std::string_view end) {
    const Using used = use();
    give_back(family(table), slice(begin), slice(end));
}

void RocksdbStorage::tidy() {
    const Using used = use();
    // Some are left by a crash between removing and giving back, and each clearing of the database leaves
    // one.
    constexpr std::uint64_t removed_ranges_max = 16;
    for (const std::unique_ptr<rocksdb::ColumnFamilyHandle>& handle : handles_) {
        rocksdb::TablePropertiesCollection tables;
        const rocksdb::Status status = db_->GetPropertiesOfAllTables(handle.get(), &tables);
        if (!status.ok()) {
            fail("cannot read from " + path_, status);
        }
        std::uint64_t removed_ranges = 0;
        for (const auto& table : tables) {
            removed_ranges += table.second->num_range_deletions;
        }
        if (removed_ranges > removed_ranges_max) {
            compact(handle.get(), nullptr, nullptr);
        }
    }
}

void RocksdbStorage::end_maintenance() {
    const Using used(opening_);
    if (db_ != nullptr) {
        db_->DisableManualCompaction();
    }
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
