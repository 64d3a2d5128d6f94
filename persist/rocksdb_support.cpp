#include "persist/rocksdb_support.h"

#include <algorithm>
#include <cstdarg>
#include <limits>
#include <memory>
#include <string>

#include "engine/error.h"

namespace karma {
namespace {

/// Writes nothing: a database that is only read stays as it is.
class NoInfoLog final : public rocksdb::Logger {
public:
    using rocksdb::Logger::Logv;
    void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

}  // namespace

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

void fail(const std::string& what, const rocksdb::Status& status) {
    if (status.IsCorruption()) {
        throw CorruptionError(what + ": " + status.ToString());
    }
    throw StorageError(what + ": " + status.ToString());
}

}  // namespace karma
