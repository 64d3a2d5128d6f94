#include "persist/table_file_writer.h"

#include <utility>

namespace karma {
namespace {

rocksdb::Slice to_slice(std::string_view text) noexcept { return {text.data(), text.size()}; }

/// What was written goes to the disk on the way, so that the sync at the end, which nothing can cut short,
/// has little left to do, and those of the log beside it as well.
rocksdb::EnvOptions written_on_the_way() {
    rocksdb::EnvOptions options;
    options.bytes_per_sync = 1U << 20U;
    return options;
}

}  // namespace

TableFileWriter::TableFileWriter(std::shared_lock<std::shared_mutex> use, rocksdb::DB& db,
                                 rocksdb::ColumnFamilyHandle& family, const std::string& directory,
                                 std::atomic<bool>& ingest_failed)
    : use_(std::move(use)),
      ingest_failed_(ingest_failed),
      db_(db),
      family_(family),
      path_(directory + "/" + table_file_prefix + std::to_string(db.GetLatestSequenceNumber()) + ".sst"),
      file_(written_on_the_way(), db.GetOptions(&family)) {
    check(file_.Open(path_), "create");
}

TableFileWriter::~TableFileWriter() {
    if (!committed_) {
        db_.GetEnv()->DeleteFile(path_).PermitUncheckedError();
    }
}

void TableFileWriter::add(std::string_view key, std::string_view value) {
    check(file_.Put(to_slice(key), to_slice(value)), "write");
    any_ = true;
}

void TableFileWriter::commit() {
    if (!any_) {
        return;
    }
    check(file_.Finish(), "write");
    rocksdb::IngestExternalFileOptions options;
    options.move_files = true;
    options.failed_move_fall_back_to_copy = true;
    options.write_global_seqno = false;
    const rocksdb::Status taken = db_.IngestExternalFile(&family_, {path_}, options);
    ingest_failed_ = !taken.ok();
    check(taken, "take in");
    committed_ = true;
    db_.GetEnv()->DeleteFile(path_).PermitUncheckedError();  // a second name of what is in the database
}

void TableFileWriter::check(const rocksdb::Status& status, const char* what) const {
    if (!status.ok()) {
        throw StorageError(std::string("cannot ") + what + " table file " + path_ + ": " + status.ToString());
    }
}

}  // namespace karma
