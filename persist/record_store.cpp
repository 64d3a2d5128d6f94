#include "persist/record_store.h"

#include <charconv>
#include <vector>

#include "engine/error.h"
#include "persist/keys.h"

namespace karma {
namespace {

constexpr const char* first_record_key = "first_idempotency_lsn";

Lsn first_record_lsn(const Storage& storage) {
    const std::optional<std::string> stored = storage.read(Table::meta, first_record_key);
    if (!stored) {
        return 0;
    }
    Lsn lsn = 0;
    const auto [end, failure] = std::from_chars(stored->data(), stored->data() + stored->size(), lsn);
    if (failure != std::errc{} || end != stored->data() + stored->size()) {
        throw CorruptionError("the LSN of the first idempotency record is not a number");
    }
    return lsn;
}

}  // namespace

RecordChange records_change(Lsn last_lsn, std::string bytes) {
    return {Table::idempotency, big_endian(last_lsn), std::move(bytes)};
}

RecordChange committed_stream_change(const StreamInfo& stream) {
    return {Table::streams, stream.id, encode_stream(stream)};
}

RecordChange first_record_change(Lsn lsn) { return {Table::meta, first_record_key, std::to_string(lsn)}; }

void read_committed_streams(const Storage& storage, Lsn last_lsn,
                            const std::function<void(StreamInfo)>& visit) {
    storage.scan(Table::streams, "", [&](std::string_view key, std::string_view value) {
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

void read_idempotency_records(const Storage& storage,
                              const std::function<bool(std::span<const IdempotencyRecord>)>& visit) {
    const Lsn first_lsn = first_record_lsn(storage);
    std::vector<IdempotencyRecord> records;
    storage.scan(Table::idempotency, "", [&](std::string_view, std::string_view value) {
        records.clear();
        read_records(value, [&](const IdempotencyRecord& record) {
            if (record.lsn >= first_lsn) {
                records.push_back(record);
            }
        });
        return visit(records);
    });
}

void erase_records_below(Storage& storage, Lsn lsn) {
    storage.erase_range(Table::idempotency, "", big_endian(lsn));
}

}  // namespace karma
