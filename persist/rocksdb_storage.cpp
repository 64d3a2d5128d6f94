#include "persist/rocksdb_storage.h"

#include <algorithm>
#include <charconv>
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
#include "persist/rocksdb_support.h"
#include "persist/salvage_files.h"
#include "persist/snapshot_table.h"
#include "persist/stored_rows.h"
#include "persist/table_file_writer.h"

namespace karma {
namespace {

constexpr const char* format_key = "format_version";

}  // namespace

RocksdbStorage::RocksdbStorage(const Options& options)
    : options_(options),
      path_(options.path.string()),
      disk_(options.env == nullptr ? rocksdb::FileSystem::Default() : options.env->GetFileSystem()),
      files_(*disk_, path_),
      read_only_(options.read_only) {
    std::optional<DurablePosition> mark;
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
        store_durable_position();
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
    store_durable_position();
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

void RocksdbStorage::check_reaches(const std::optional<DurablePosition>& mark) const {
    if (mark && mark->lsn > appended_lsn_) {
        throw CorruptionError("the event log of " + path_ + " reaches to LSN " +
                              std::to_string(appended_lsn_.load()) + " and was synced up to LSN " +
                              std::to_string(mark->lsn) +
                              ": write-ahead log or tables are cut or missing, put them back from a backup");
    }
}

void RocksdbStorage::store_durable_position() {
    const Using used = use();
    const std::lock_guard lock(mark_mutex_);
    DurablePosition mark{synced_lsn_, {}, 0};
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
        files_.write_position(mark);
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
        files_.write_position(files_.mark_of_closed(appended_lsn_));
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
        files_.write_position(mark_);
        commit(batch, true, "cannot clear");
    }
    next_lsn_.store(1, std::memory_order_release);
    for (const std::unique_ptr<rocksdb::ColumnFamilyHandle>& handle : handles_) {
        // Only what is removed already; where it fails the space is given back later.
        rocksdb::DeleteFilesInRange(db_.get(), handle.get(), &first, &last, false).PermitUncheckedError();
    }
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

}  // namespace karma
