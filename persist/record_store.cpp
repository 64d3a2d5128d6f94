#include "persist/record_store.h"

#include <vector>

#include "engine/error.h"
#include "persist/keys.h"
#include "persist/meta_numbers.h"

namespace karma {
namespace {

constexpr const char* first_record_key = "first_idempotency_lsn";
constexpr const char* pruned_streams_key = "pruned_streams_lsn";

}  // namespace

RecordChange records_change(Lsn last_lsn, std::string bytes) {
    return {Table::idempotency, big_endian(last_lsn), std::move(bytes)};
}

RecordChange committed_stream_change(const StreamInfo& stream) {
    return {Table::streams, stream.id, encode_stream(stream)};
}

void append_pruned_streams(std::span<const std::string> ids, Lsn lsn, std::vector<RecordChange>& changes) {
    for (const std::string& id : ids) {
        changes.push_back({Table::streams, id, std::nullopt});
    }
    changes.push_back(meta_numbers_change(pruned_streams_key, {lsn}));
}

Lsn read_pruned_streams_lsn(const RecordTables& tables) {
    return read_meta_number(tables, pruned_streams_key).value_or(0);
}

RecordChange first_record_change(Lsn lsn) { return meta_numbers_change(first_record_key, {lsn}); }

Lsn read_first_record_lsn(const RecordTables& tables) {
    return read_meta_number(tables, first_record_key).value_or(0);
}

void read_committed_streams(const RecordTables& tables, Lsn last_lsn,
                            const std::function<void(StreamInfo)>& visit) {
    tables.scan(Table::streams, "", [&](std::string_view key, std::string_view value) {
        StreamInfo stream;
        try {
            stream = decode_stream(value);
        } catch (const CorruptionError& failure) {
            throw CorruptionError("ingest stream \"" + std::string(key) + "\": " + failure.what());
        }
        if (stream.lsn <= last_lsn) {
            visit(std::move(stream));
        }
        return true;
    });
}

void read_idempotency_records(const RecordTables& tables,
                              const std::function<bool(std::span<const IdempotencyRecord>)>& visit) {
    read_idempotency_records(tables, read_first_record_lsn(tables), visit);
}

void read_idempotency_records(const RecordTables& tables, Lsn first_lsn,
                              const std::function<bool(std::span<const IdempotencyRecord>)>& visit) {
    std::vector<IdempotencyRecord> records;
    // The key of a row is the last LSN in it: rows before this one hold forgotten records only.
    tables.scan_from(Table::idempotency, big_endian(first_lsn),
                     [&](std::string_view, std::string_view value) {
                         records.clear();
                         read_records(value, [&](const IdempotencyRecord& record) {
                             if (record.lsn >= first_lsn) {
                                 records.push_back(record);
                             }
                         });
                         return visit(records);
                     });
}

bool erase_records_below(RecordTables& tables, Lsn lsn) {
    // Each range begins at the first row that is there, behind the range before it: removed ranges that
    // overlap would cost later reads the square of their number.
    const std::string end = big_endian(lsn);
    std::string begin;
    tables.scan_from(Table::idempotency, begin, [&](std::string_view key, std::string_view) {
        begin = key;
        return false;
    });
    if (begin.empty() || begin >= end) {
        return false;
    }
    tables.erase_range(Table::idempotency, begin, end);
    tables.reclaim_range(Table::idempotency, begin, end);
    return true;
}

}  // namespace karma
