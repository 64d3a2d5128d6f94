#include "persist/records_json.h"

#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>

#include "engine/fingerprinter.h"
#include "persist/record_store.h"

namespace karma {
namespace {

constexpr std::size_t piece_bytes = 256U << 10U;

std::string quoted(std::string_view text) { return boost::json::serialize(boost::json::string_view(text)); }

std::string quoted_or_null(const std::optional<std::string>& text) { return text ? quoted(*text) : "null"; }

/// The response that a request got, from the numbers that are kept of it.
std::string response_text(const IdempotencyRecord& record) {
    const auto& numbers = record.response;
    const auto field = [](const char* name, std::uint64_t number) {
        return std::string("\"") + name + "\":" + std::to_string(number);
    };
    switch (record.operation) {
        case Operation::increment:
        case Operation::decrement: return std::to_string(numbers[0]);
        case Operation::batch_add: {
            const Uint128 total = (Uint128{numbers[1]} << 64U) | numbers[2];
            return "{" + field("applied", numbers[0]) + ",\"total\":" + to_decimal(total) + "}";
        }
        case Operation::batch_set: return "{" + field("applied", numbers[0]) + "}";
        case Operation::batch_reset:
            return "{" + field("reset", numbers[0]) + "," + field("missing", numbers[1]) + "}";
        case Operation::batch_delete_range:
            return "{" + field("deleted", numbers[0]) + "," + field("missing", numbers[1]) + "}";
        case Operation::remove: return "true";
        default: return "\"OK\"";
    }
}

std::string record_text(const IdempotencyRecord& record) {
    return "{\"key\":" + quoted(record.key) + ",\"operation\":" + quoted(operation_name(record.operation)) +
           ",\"fingerprint\":\"" + record.fingerprint.hex() + "\",\"response\":" + response_text(record) +
           ",\"created_at_unix\":" + std::to_string(record.created_at_unix) + "}";
}

std::string stream_text(const StreamInfo& stream, Fingerprinter& fingerprinter) {
    std::optional<std::string_view> granularity;
    if (stream.granularity) {
        granularity = *stream.granularity;
    }
    const Fingerprint begin = fingerprinter.of(mutation::BeginStream{stream.id, stream.mode, granularity});
    std::string chunks;
    std::uint64_t seq = 0;
    for (const Fingerprint& chunk : stream.chunks->fingerprints) {
        chunks += (seq == 0 ? "\"" : ",\"") + std::to_string(seq + 1) + "\":\"" + chunk.hex() + "\"";
        ++seq;
    }
    return "{\"stream_id\":" + quoted(stream.id) + ",\"mode\":" + quoted(ingest_mode_name(stream.mode)) +
           ",\"granularity\":" + quoted_or_null(stream.granularity) +
           ",\"series_name\":" + quoted_or_null(stream.series) +
           ",\"last_chunk_seq\":" + std::to_string(stream.last_chunk_seq()) + ",\"begin_fingerprint\":\"" +
           begin.hex() + "\",\"chunk_fingerprints\":{" + chunks +
           "},\"committed_at_unix\":" + std::to_string(stream.committed_at_unix.value_or(0)) + "}";
}

}  // namespace

void write_records_json(const Storage& storage, Lsn last_lsn,
                        const std::function<void(std::string_view)>& sink) {
    std::string piece = "{\"records\":[";
    const auto add = [&](const std::string& text, bool& is_first) {
        piece += is_first ? text : "," + text;
        is_first = false;
        if (piece.size() >= piece_bytes) {
            sink(piece);
            piece.clear();
        }
    };
    bool is_first = true;
    read_idempotency_records(storage, [&](std::span<const IdempotencyRecord> records) {
        for (const IdempotencyRecord& record : records) {
            if (record.lsn <= last_lsn) {
                add(record_text(record), is_first);
            }
        }
        return true;
    });
    piece += "],\"committed_streams\":[";
    is_first = true;
    Fingerprinter fingerprinter;
    read_committed_streams(storage, last_lsn, [&](const StreamInfo& stream) {
        add(stream_text(stream, fingerprinter), is_first);
    });
    piece += "]}";
    sink(piece);
}

}  // namespace karma
