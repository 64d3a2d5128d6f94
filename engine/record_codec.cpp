#include "engine/record_codec.h"

#include <array>
#include <cstring>
#include <tuple>

#include <msgpack.hpp>

#include "engine/error.h"
#include "engine/msgpack_bytes.h"

namespace karma {
namespace {

using Packer = msgpack::packer<Appender>;

/// The numbers of each response that a keyed request can have.
struct ResponseNumbers {
    IdempotencyRecord& record;

    template <typename... Numbers>
    void set(Numbers... numbers) noexcept {
        record.response = {static_cast<std::uint64_t>(numbers)...};
        record.response_size = sizeof...(numbers);
    }
    void operator()(const reply::Number& r) noexcept { set(r.value); }
    void operator()(const reply::CounterTotals& r) noexcept { set(r.value); }
    void operator()(const reply::Added& r) noexcept { set(r.applied, r.total >> 64U, r.total); }
    void operator()(const reply::Applied& r) noexcept { set(r.applied); }
    void operator()(const reply::BatchResetDone& r) noexcept { set(r.reset, r.missing); }
    void operator()(const reply::BatchDeleted& r) noexcept { set(r.deleted, r.missing); }
    template <typename Other>
    void operator()(const Other&) noexcept {
        record.response_size = 0;
    }
};

void expect(bool holds, const char* what) {
    if (!holds) {
        throw CorruptionError(what);
    }
}

std::uint64_t number(const msgpack::object& object) {
    expect(object.type == msgpack::type::POSITIVE_INTEGER, "a field is not an unsigned number");
    return object.via.u64;
}

Fingerprint fingerprint(const char* bytes) noexcept {
    Fingerprint result;
    std::memcpy(result.bytes.data(), bytes, result.bytes.size());
    return result;
}

IdempotencyRecord to_record(const msgpack::object& object) {
    constexpr std::uint32_t fields = 6;
    expect(object.type == msgpack::type::ARRAY && object.via.array.size == fields, "not a record");
    const msgpack::object* const field = object.via.array.ptr;
    IdempotencyRecord record;
    record.lsn = number(field[0]);
    expect(field[1].type == msgpack::type::STR, "a key is not a string");
    record.key = {field[1].via.str.ptr, field[1].via.str.size};
    record.created_at_unix = static_cast<std::int64_t>(number(field[2]));
    record.operation = static_cast<Operation>(number(field[3]));
    expect(!operation_name(record.operation).empty(), "an unknown operation");
    expect(field[4].type == msgpack::type::BIN && field[4].via.bin.size == record.fingerprint.bytes.size(),
           "a fingerprint does not have 32 bytes");
    record.fingerprint = fingerprint(field[4].via.bin.ptr);
    expect(field[5].type == msgpack::type::ARRAY && field[5].via.array.size <= record.response.size(),
           "a response is not an array");
    for (std::uint32_t i = 0; i < field[5].via.array.size; ++i) {
        record.response[i] = number(field[5].via.array.ptr[i]);
    }
    record.response_size = field[5].via.array.size;
    return record;
}

constexpr std::uint32_t stream_version = 1;

using EncodedStream =
    std::tuple<std::uint32_t, std::string, std::uint8_t, std::optional<std::string>,
               std::optional<std::string>, Lsn, std::optional<std::int64_t>, std::vector<char>>;

}  // namespace

void set_response(IdempotencyRecord& record, const Reply& reply) noexcept {
    std::visit(ResponseNumbers{record}, reply);
}

void append_record(const IdempotencyRecord& record, std::string& out) {
    Appender appender{out};
    Packer packer(appender);
    packer.pack_array(6);
    packer.pack(record.lsn);
    packer.pack(record.key);
    packer.pack(static_cast<std::uint64_t>(record.created_at_unix));
    packer.pack(static_cast<std::uint8_t>(record.operation));
    packer.pack_bin(static_cast<std::uint32_t>(record.fingerprint.bytes.size()));
    packer.pack_bin_body(reinterpret_cast<const char*>(record.fingerprint.bytes.data()),
                         static_cast<std::uint32_t>(record.fingerprint.bytes.size()));
    packer.pack_array(record.response_size);
    for (std::uint32_t i = 0; i < record.response_size; ++i) {
        packer.pack(record.response[i]);
    }
}

void read_records(std::string_view bytes, const std::function<void(const IdempotencyRecord&)>& visit) {
    std::size_t at = 0;
    try {
        while (at < bytes.size()) {
            const msgpack::object_handle handle = unpack_stored(bytes, at, borrow_bytes);
            visit(to_record(handle.get()));
        }
    } catch (const msgpack::unpack_error& failure) {
        throw CorruptionError("idempotency records: not MessagePack (" + std::string(failure.what()) + ")");
    } catch (const CorruptionError& failure) {
        throw CorruptionError("idempotency records: " + std::string(failure.what()));
    }
}

std::string encode_stream(const StreamInfo& stream) {
    std::string out;
    Appender appender{out};
    Packer packer(appender);
    packer.pack_array(std::tuple_size_v<EncodedStream>);
    packer.pack(stream_version);
    packer.pack(stream.id);
    packer.pack(static_cast<std::uint8_t>(stream.mode));
    packer.pack(stream.granularity);
    packer.pack(stream.series);
    packer.pack(stream.lsn);
    packer.pack(stream.committed_at_unix);
    const std::vector<Fingerprint>& chunks = stream.chunks->fingerprints;
    const auto size = static_cast<std::uint32_t>(chunks.size() * sizeof(Fingerprint));
    static_assert(sizeof(Fingerprint) == 32);
    packer.pack_bin(size);
    packer.pack_bin_body(reinterpret_cast<const char*>(chunks.data()), size);
    return out;
}

StreamInfo decode_stream(std::string_view bytes) {
    EncodedStream encoded;
    try {
        unpack_stored(bytes).get().convert(encoded);
    } catch (const std::exception& failure) {
        throw CorruptionError("ingest stream: " + std::string(failure.what()));
    }
    auto& [version, id, mode, granularity, series, lsn, committed_at_unix, chunks] = encoded;
    expect(version == stream_version, "ingest stream: of a version that this program does not know");
    expect(mode <= static_cast<std::uint8_t>(IngestMode::replace_series), "ingest stream: unknown mode");
    expect(chunks.size() % sizeof(Fingerprint) == 0, "ingest stream: half a fingerprint");
    StreamInfo stream;
    stream.id = std::move(id);
    stream.mode = static_cast<IngestMode>(mode);
    stream.granularity = std::move(granularity);
    stream.series = std::move(series);
    stream.lsn = lsn;
    stream.committed_at_unix = committed_at_unix;
    for (std::size_t at = 0; at < chunks.size(); at += sizeof(Fingerprint)) {
        stream.chunks->fingerprints.push_back(fingerprint(chunks.data() + at));
    }
    return stream;
}

}  // namespace karma
