#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "engine/fingerprint.h"
#include "engine/ingest.h"
#include "engine/number.h"
#include "engine/reply.h"

/// How the records that follow from events lie in storage: MessagePack. The format is docs/storage-format.md.
namespace karma {

/// The stored record of a request with an idempotency key.
struct IdempotencyRecord {
    Lsn lsn = 0;  // of its event
    std::string_view key;
    std::int64_t created_at_unix = 0;
    Operation operation = Operation::increment;
    Fingerprint fingerprint;
    std::array<std::uint64_t, 3> response{};  // the numbers of the response, see `response_numbers`
    std::uint32_t response_size = 0;
};

/// Puts the numbers of a response into a record: `[value]`, `[applied, total / 2^64, total % 2^64]`,
/// `[applied]`, `[reset, missing]`, `[deleted, missing]` or nothing.
void set_response(IdempotencyRecord& record, const Reply& reply) noexcept;

/// Appends a record to others.
void append_record(const IdempotencyRecord& record, std::string& out);

/// Calls `visit` for each of the records in `bytes`; what it borrows lives until `visit` returns. Throws
/// CorruptionError.
void read_records(std::string_view bytes, const std::function<void(const IdempotencyRecord&)>& visit);

/// A stream without its staged series.
std::string encode_stream(const StreamInfo& stream);
StreamInfo decode_stream(std::string_view bytes);

}  // namespace karma
