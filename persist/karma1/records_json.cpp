#include "persist/karma1/records_json.h"

#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>

#include "engine/error.h"
#include "engine/fingerprinter.h"
#include "persist/record_store.h"

namespace karma {

namespace json = boost::json;

namespace {

constexpr std::size_t write_bytes = 256U << 10U;

std::string json_string(std::string_view text) {
    return boost::json::serialize(boost::json::string_view(text));
}

std::string quoted_or_null(const std::optional<std::string>& text) {
    return text ? json_string(*text) : "null";
}

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
        case Operation::batch_set:
        case Operation::multi_add: return "{" + field("applied", numbers[0]) + "}";
        case Operation::batch_reset:
            return "{" + field("reset", numbers[0]) + "," + field("missing", numbers[1]) + "}";
        case Operation::batch_delete_range:
            return "{" + field("deleted", numbers[0]) + "," + field("missing", numbers[1]) + "}";
        case Operation::remove: return "true";
        default: return "\"OK\"";
    }
}

std::string record_text(const IdempotencyRecord& record) {
    return "{\"key\":" + json_string(record.key) +
           ",\"operation\":" + json_string(operation_name(record.operation)) + ",\"fingerprint\":\"" +
           record.fingerprint.hex() + "\",\"response\":" + response_text(record) +
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
    return "{\"stream_id\":" + json_string(stream.id) +
           ",\"mode\":" + json_string(ingest_mode_name(stream.mode)) +
           ",\"granularity\":" + quoted_or_null(stream.granularity) +
           ",\"series_name\":" + quoted_or_null(stream.series) +
           ",\"last_chunk_seq\":" + std::to_string(stream.last_chunk_seq()) + ",\"begin_fingerprint\":\"" +
           begin.hex() + "\",\"chunk_fingerprints\":{" + chunks +
           "},\"committed_at_unix\":" + std::to_string(stream.committed_at_unix.value_or(0)) + "}";
}

}  // namespace

WrittenRecords write_records_json(const RecordTables& tables, const RecordsSelection& selection,
                                  const std::function<void(std::string_view)>& sink) {
    WrittenRecords written;
    std::string piece = "{\"records\":[";
    const auto add = [&](const std::string& text, bool& is_first) {
        piece += is_first ? text : "," + text;
        is_first = false;
        if (piece.size() >= write_bytes) {
            sink(piece);
            piece.clear();
        }
    };
    bool is_first = true;
    read_idempotency_records(tables, selection.first_lsn, [&](std::span<const IdempotencyRecord> records) {
        for (const IdempotencyRecord& record : records) {
            if (record.lsn <= selection.last_lsn &&
                (!selection.wants_record || selection.wants_record(record))) {
                add(record_text(record), is_first);
                ++written.records;
            }
        }
        return true;
    });
    piece += "],\"committed_streams\":[";
    is_first = true;
    Fingerprinter fingerprinter;
    read_committed_streams(tables, selection.last_lsn, [&](const StreamInfo& stream) {
        if (!selection.wants_stream || selection.wants_stream(stream)) {
            add(stream_text(stream, fingerprinter), is_first);
            ++written.committed_streams;
        }
    });
    piece += "]}";
    sink(piece);
    return written;
}

namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// The end of the string that begins at a quotation mark.
std::size_t end_of_string(std::string_view text, std::size_t at) {
    for (++at; at < text.size() && text[at] != '"'; ++at) {
        at += text[at] == '\\' ? 1 : 0;
    }
    return std::min(at + 1, text.size());
}

/// The text with whole numbers of more digits than 64 bits always have room for as strings: as numbers
/// Boost.JSON would round them. `changed` holds it where there are any.
std::string_view with_large_numbers_quoted(std::string_view text, std::string& changed) {
    constexpr std::size_t digits_of_64_bits = 19;
    std::size_t copied = 0;
    for (std::size_t at = 0; at < text.size();) {
        if (text[at] == '"') {
            at = end_of_string(text, at);
            continue;
        }
        const std::size_t begin = at;
        while (at < text.size() && is_digit(text[at])) {
            ++at;
        }
        const auto is_part = [&](std::size_t i) {
            return i < text.size() && std::string_view("+-.eE").find(text[i]) != std::string_view::npos;
        };
        const bool is_whole = !is_part(at) && (begin == 0 || !is_part(begin - 1));
        if (at - begin > digits_of_64_bits && is_whole) {
            changed.append(text, copied, begin - copied).append("\"");
            changed.append(text, begin, at - begin).append("\"");
            copied = at;
        }
        at += at == begin ? 1 : 0;
    }
    return copied == 0 ? text : std::string_view(changed.append(text, copied));
}

std::optional<Uint128> uint128_from_decimal(std::string_view text) {
    constexpr Uint128 max = ~Uint128{0};
    Uint128 number = 0;
    for (const char c : text) {
        const auto digit = static_cast<unsigned>(c - '0');
        if (!is_digit(c) || number > (max - digit) / 10) {
            return std::nullopt;
        }
        number = number * 10 + digit;
    }
    return text.empty() ? std::nullopt : std::optional(number);
}

/// A number as `with_large_numbers_quoted` leaves it.
std::optional<Uint128> uint128_of(const json::value& value) {
    if (value.is_string()) {
        return uint128_from_decimal(value.get_string());
    }
    boost::system::error_code failure;
    const auto number = value.to_number<std::uint64_t>(failure);
    return failure ? std::nullopt : std::optional<Uint128>(number);
}

/// Takes fields of an element of an array; errors name both.
class Element {
public:
    Element(const json::value& value, const char* array, std::size_t number)
        : value_(value), place_(std::string(array) + "[" + std::to_string(number) + "]") {
        if (!value.is_object()) {
            fail("", "is no object");
        }
    }

    std::string_view text(const char* name) const {
        const json::value* const value = find(name);
        if (value == nullptr || !value->is_string()) {
            fail(name, "is no string");
        }
        return value->get_string();
    }

    std::optional<std::string> optional_text(const char* name) const {
        const json::value* const value = find(name);
        return value == nullptr || value->is_null() ? std::nullopt : std::optional(std::string(text(name)));
    }

    std::int64_t integer(const char* name) const {
        const json::value* const value = find(name);
        boost::system::error_code failure;
        const auto number = value == nullptr ? 0 : value->to_number<std::int64_t>(failure);
        if (value == nullptr || failure) {
            fail(name, "is no integer");
        }
        return number;
    }

    Fingerprint fingerprint(const char* name, std::string_view hex) const {
        const std::optional<Fingerprint> read = Fingerprint::from_hex(hex);
        if (!read) {
            fail(name, "is no fingerprint of 64 hexadecimal digits");
        }
        return *read;
    }

    const json::value* find(const char* name) const { return value_.get_object().if_contains(name); }

    [[noreturn]] void fail(const std::string& field, const std::string& what) const {
        throw CorruptionError(place_ + (field.empty() ? " " : "." + field + " ") + what);
    }

private:
    const json::value& value_;
    std::string place_;
};

Operation operation_from_name(const Element& element) {
    const std::string_view name = element.text("operation");
    for (unsigned number = 1; number <= static_cast<unsigned>(Operation::multi_add); ++number) {
        const auto operation = static_cast<Operation>(number);
        const bool is_of_stream =
            operation == Operation::ingest_begin || operation == Operation::ingest_chunk;
        if (!is_of_stream && operation_name(operation) == name) {
            return operation;
        }
    }
    element.fail("operation", "is none that can have a key: " + std::string(name));
}

/// The numbers that are kept of a response. What a client gets again is made from them and its request.
void read_response(const Element& element, IdempotencyRecord& record) {
    const json::value* const response = element.find("response");
    if (response == nullptr) {
        element.fail("response", "is missing");
    }
    const auto wide = [&](const char* name) {
        const json::value* const value =
            response->is_object() ? response->get_object().if_contains(name) : nullptr;
        const std::optional<Uint128> read = value == nullptr ? std::nullopt : uint128_of(*value);
        if (!read) {
            element.fail(std::string("response.") + name, "is no number");
        }
        return *read;
    };
    const auto narrow = [&](const std::optional<Uint128>& number, const char* field) {
        if (!number || *number >> 64U != 0) {
            element.fail(field, "is no number of 64 bits");
        }
        return static_cast<std::uint64_t>(*number);
    };
    const auto number = [&](const char* name) {
        return narrow(wide(name), (std::string("response.") + name).c_str());
    };
    switch (record.operation) {
        case Operation::increment:
        case Operation::decrement:
            record.response[0] = narrow(uint128_of(*response), "response");
            record.response_size = 1;
            break;
        case Operation::batch_add: {
            const Uint128 total = wide("total");
            record.response = {number("applied"), static_cast<std::uint64_t>(total >> 64U),
                               static_cast<std::uint64_t>(total)};
            record.response_size = 3;
            break;
        }
        case Operation::batch_set:
        case Operation::multi_add:
            record.response[0] = number("applied");
            record.response_size = 1;
            break;
        case Operation::batch_reset:
            record.response = {number("reset"), number("missing"), 0};
            record.response_size = 2;
            break;
        case Operation::batch_delete_range:
            record.response = {number("deleted"), number("missing"), 0};
            record.response_size = 2;
            break;
        default: break;
    }
}

const json::array& array_of(const json::value& document, const char* name) {
    static const json::array none;
    const json::value* const value = document.is_object() ? document.get_object().if_contains(name) : nullptr;
    if (value == nullptr) {
        return none;
    }
    if (!value->is_array()) {
        throw CorruptionError(std::string(name) + " is no array");
    }
    return value->get_array();
}

StreamInfo read_stream(const Element& element) {
    StreamInfo stream;
    stream.id = element.text("stream_id");
    const std::optional<IngestMode> mode = ingest_mode_from_name(element.text("mode"));
    if (!mode) {
        element.fail("mode", "is none of add, set and replace_series");
    }
    stream.mode = *mode;
    stream.granularity = element.optional_text("granularity");
    stream.series = element.optional_text("series_name");
    stream.committed_at_unix = element.integer("committed_at_unix");
    const json::value* const chunks = element.find("chunk_fingerprints");
    if (chunks == nullptr || !chunks->is_object()) {
        element.fail("chunk_fingerprints", "is no object");
    }
    const auto last = static_cast<std::size_t>(std::max<std::int64_t>(element.integer("last_chunk_seq"), 0));
    for (std::size_t seq = 1; seq <= last; ++seq) {
        const std::string name = std::to_string(seq);
        const json::value* const chunk = chunks->get_object().if_contains(name);
        if (chunk == nullptr || !chunk->is_string()) {
            element.fail("chunk_fingerprints", "has no chunk " + name);
        }
        stream.chunks->fingerprints.push_back(element.fingerprint("chunk_fingerprints", chunk->get_string()));
    }
    return stream;
}

}  // namespace

void read_records_json(std::string_view text, const std::function<void(const IdempotencyRecord&)>& on_record,
                       const std::function<void(StreamInfo)>& on_stream) {
    json::monotonic_resource arena;
    boost::system::error_code failure;
    std::string changed;
    const json::value document = json::parse(with_large_numbers_quoted(text, changed), failure, &arena);
    if (failure || !document.is_object()) {
        throw CorruptionError("no JSON object" + (failure ? ": " + failure.message() : std::string()));
    }
    std::vector<std::pair<std::int64_t, std::size_t>> order;
    const json::array& records = array_of(document, "records");
    for (std::size_t number = 0; number < records.size(); ++number) {
        order.emplace_back(Element(records[number], "records", number).integer("created_at_unix"), number);
    }
    std::ranges::sort(order);
    for (const auto& [created, number] : order) {
        const Element element(records[number], "records", number);
        IdempotencyRecord record;
        record.key = element.text("key");
        record.created_at_unix = created;
        record.operation = operation_from_name(element);
        record.fingerprint = element.fingerprint("fingerprint", element.text("fingerprint"));
        read_response(element, record);
        on_record(record);
    }
    const json::array& streams = array_of(document, "committed_streams");
    for (std::size_t number = 0; number < streams.size(); ++number) {
        on_stream(read_stream(Element(streams[number], "committed_streams", number)));
    }
}

}  // namespace karma
