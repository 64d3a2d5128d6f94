#include "engine/event_codec.h"

#include <cstring>
#include <limits>
#include <optional>

#include <msgpack.hpp>

#include "engine/checksum.h"
#include "engine/error.h"
#include "engine/event_kind.h"
#include "engine/msgpack_bytes.h"
#include "engine/timestamp.h"

namespace karma {
namespace {

[[noreturn]] void malformed(const std::string& what) { throw CorruptionError(what); }

/// The elements of a MessagePack array, taken one after the other.
class Fields {
public:
    explicit Fields(const msgpack::object& object) {
        if (object.type != msgpack::type::ARRAY) {
            malformed("not an array");
        }
        next_ = object.via.array.ptr;
        end_ = next_ + object.via.array.size;
    }

    std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - next_); }

    const msgpack::object& take() {
        if (next_ == end_) {
            malformed("too few fields");
        }
        return *next_++;
    }

    std::uint64_t number() {
        const msgpack::object& object = take();
        if (object.type != msgpack::type::POSITIVE_INTEGER) {
            malformed("a field is not an unsigned number");
        }
        return object.via.u64;
    }

    std::int64_t signed_number() {
        const msgpack::object& object = take();
        if (object.type == msgpack::type::NEGATIVE_INTEGER) {
            return object.via.i64;
        }
        if (object.type != msgpack::type::POSITIVE_INTEGER ||
            object.via.u64 > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            malformed("a field is not a number");
        }
        return static_cast<std::int64_t>(object.via.u64);
    }

    std::string_view text() {
        const msgpack::object& object = take();
        if (object.type != msgpack::type::STR) {
            malformed("a field is not a string");
        }
        return {object.via.str.ptr, object.via.str.size};
    }

    std::optional<std::string_view> optional_text() {
        if (next_ != end_ && next_->type == msgpack::type::NIL) {
            ++next_;
            return std::nullopt;
        }
        return text();
    }

    std::optional<std::uint64_t> optional_number() {
        if (next_ != end_ && next_->type == msgpack::type::NIL) {
            ++next_;
            return std::nullopt;
        }
        return number();
    }

    Fingerprint fingerprint() {
        Fingerprint fingerprint;
        const msgpack::object& object = take();
        if (object.type != msgpack::type::BIN || object.via.bin.size != fingerprint.bytes.size()) {
            malformed("a fingerprint does not have 32 bytes");
        }
        std::memcpy(fingerprint.bytes.data(), object.via.bin.ptr, fingerprint.bytes.size());
        return fingerprint;
    }

    void done() const {
        if (next_ != end_) {
            malformed("too many fields");
        }
    }

private:
    const msgpack::object* next_;
    const msgpack::object* end_;
};

/// Reads the events of one group.
class Decoder {
public:
    Decoder(std::vector<std::string_view> names, Day base_day)
        : names_(std::move(names)), base_day_(base_day) {}

    /// The fact of an event, of which the kind and the time have been taken.
    Fact body(EventKind kind, Fields& fields) {
        using namespace fact;
        switch (kind) {
            case EventKind::compact_all: return CompactAll{};
            case EventKind::multi_add: return multi_add(fields);
            case EventKind::save_checkpoint: {
                SaveCheckpoint m;
                m.source = fields.text();
                m.offset = fields.optional_text();
                m.event_id = fields.optional_text();
                return m;
            }
            case EventKind::begin_stream: {
                BeginStream m;
                m.stream_id = fields.text();
                m.mode = ingest_mode(fields.number());
                m.granularity = fields.optional_text();
                return m;
            }
            case EventKind::commit_stream: return CommitStream{fields.text()};
            case EventKind::abort_stream: return AbortStream{fields.text()};
            case EventKind::load_series: return LoadSeries{fields.text()};
            case EventKind::prune_records: {
                PruneRecords m;
                m.before_unix = fields.signed_number();
                m.limit = fields.optional_number();
                m.below_lsn = fields.left() == 0 ? 0 : fields.number();
                return m;
            }
            case EventKind::start_epoch: {
                StartEpoch m;
                m.number = fields.number();
                m.id = fields.number();
                m.node = fields.left() == 0 ? 0 : fields.number();
                return m;
            }
            case EventKind::prune_streams: {
                PruneStreams m;
                m.before_unix = fields.signed_number();
                m.limit = fields.number();
                m.last_unix = fields.signed_number();
                m.last_id = fields.text();
                return m;
            }
            default: return body_of_series(kind, series_name(fields.number()), fields);
        }
    }

private:
    Fact body_of_series(EventKind kind, std::string_view series, Fields& fields) {
        using namespace fact;
        switch (kind) {
            case EventKind::create_series: return CreateSeries{series};
            case EventKind::drop_series: return DropSeries{series};
            case EventKind::increment: return with_point<Increment>(series, fields);
            case EventKind::decrement: return with_point<Decrement>(series, fields);
            case EventKind::batch_add: return BatchAdd{series, items(fields)};
            case EventKind::batch_set: return BatchSet{series, items(fields)};
            case EventKind::reset_counter: return ResetCounter{series, fields.number()};
            case EventKind::reset_series: return ResetSeries{series};
            case EventKind::batch_reset: return BatchReset{series, keys(fields)};
            case EventKind::delete_counter_range: {
                const std::uint64_t key = fields.number();
                return DeleteCounterRange{series, key, range(fields)};
            }
            case EventKind::delete_series_range: return DeleteSeriesRange{series, range(fields)};
            case EventKind::batch_delete_range: {
                const auto taken = keys(fields);
                return BatchDeleteRange{series, taken, range(fields)};
            }
            case EventKind::delete_before: return DeleteBefore{series, day(fields)};
            case EventKind::compact_series: return CompactSeries{series};
            case EventKind::add_chunk: {
                AddChunk m;
                m.series = series;
                m.stream_id = fields.text();
                m.chunk_seq = fields.number();
                m.fingerprint = fields.fingerprint();
                m.items = items(fields);
                return m;
            }
            default: malformed("unknown kind of event " + std::to_string(static_cast<unsigned>(kind)));
        }
    }

    fact::MultiAdd multi_add(Fields& fields) {
        Fields list(fields.take());
        series_items_.clear();
        while (list.left() != 0) {
            mutation::SeriesItem item;
            item.series = series_name(list.number());
            item.key = list.number();
            item.day = day(list);
            item.value = list.number();
            series_items_.push_back(item);
        }
        return {{series_items_, 0}};
    }

    static IngestMode ingest_mode(std::uint64_t number) {
        if (number > static_cast<std::uint64_t>(IngestMode::replace_series)) {
            malformed("unknown mode of ingest " + std::to_string(number));
        }
        return static_cast<IngestMode>(number);
    }

    std::string_view series_name(std::uint64_t number) const {
        if (number >= names_.size()) {
            malformed("series number " + std::to_string(number) + " is not in the group's list");
        }
        return names_[number];
    }

    Day day(Fields& fields) const {
        const std::int64_t delta = fields.signed_number();
        if (delta < -std::int64_t{max_day} || delta > std::int64_t{max_day}) {
            malformed("a day is outside the calendar");
        }
        const std::int64_t number = std::int64_t{base_day_} + delta;
        if (number < 0 || number > std::int64_t{max_day}) {
            malformed("a day is outside the calendar");
        }
        return static_cast<Day>(number);
    }

    DayRange range(Fields& fields) const {
        const Day from = day(fields);
        const Day to = day(fields);
        if (from > to) {
            malformed("a range ends before it begins");
        }
        return {from, to};
    }

    template <typename Body>
    Body with_point(std::string_view series, Fields& fields) const {
        const std::uint64_t key = fields.number();
        const Day at = day(fields);
        return {series, key, at, fields.number()};
    }

    std::span<const mutation::Item> items(Fields& fields) {
        Fields list(fields.take());
        items_.clear();
        while (list.left() != 0) {
            const std::uint64_t key = list.number();
            const Day at = day(list);
            items_.push_back({key, at, list.number()});
        }
        return items_;
    }

    std::span<const std::uint64_t> keys(Fields& fields) {
        Fields list(fields.take());
        keys_.clear();
        while (list.left() != 0) {
            keys_.push_back(list.number());
        }
        return keys_;
    }

    std::vector<std::string_view> names_;
    Day base_day_;
    std::vector<mutation::Item> items_;
    std::vector<mutation::SeriesItem> series_items_;
    std::vector<std::uint64_t> keys_;
};

/// The one MessagePack value that these bytes are. Its texts lie in the bytes.
msgpack::object_handle unpack_all(std::string_view bytes) {
    std::size_t end = 0;
    msgpack::object_handle handle = unpack_stored(bytes, end, borrow_bytes);
    if (end != bytes.size()) {
        malformed(std::to_string(bytes.size() - end) + " bytes too many");
    }
    return handle;
}

/// The payload of a group, its checksum proven.
std::string_view checked_payload(std::string_view value) {
    const msgpack::object_handle handle = unpack_all(value);
    Fields envelope(handle.get());
    const std::uint64_t version = envelope.number();
    if (version == 0 || version > group_version) {
        malformed("written in version " + std::to_string(version) +
                  " of the format, this program reads versions up to " + std::to_string(group_version));
    }
    const std::uint64_t expected = envelope.number();
    const msgpack::object& payload = envelope.take();
    envelope.done();
    if (payload.type != msgpack::type::BIN) {
        malformed("the payload is not binary");
    }
    const std::string_view bytes(payload.via.bin.ptr, payload.via.bin.size);
    if (crc32_of(bytes) != expected) {
        malformed("the checksum does not match");
    }
    return bytes;
}

std::int64_t checked_time(std::int64_t unix_ms) {
    if (unix_ms < unix_ms_min || unix_ms > unix_ms_max) {
        malformed("a time is outside the calendar");
    }
    return unix_ms;
}

void read_payload(std::string_view payload, EventGroupInfo& info,
                  const std::function<void(const Event&)>& visit) {
    const msgpack::object_handle handle = unpack_all(payload);
    Fields head(handle.get());
    info.first_lsn = head.number();
    const std::int64_t base_time_ms = checked_time(head.signed_number());
    const std::uint64_t base_day = head.number();
    if (base_day > max_day) {
        malformed("the base day is outside the calendar");
    }
    std::vector<std::string_view> names;
    for (Fields list(head.take()); list.left() != 0;) {
        names.push_back(list.text());
        if (names.back().empty()) {
            malformed("a series has no name");
        }
    }
    Decoder decoder(std::move(names), static_cast<Day>(base_day));
    Fields events(head.take());
    head.done();
    info.count = static_cast<std::uint32_t>(events.left());
    for (Event event{info.first_lsn, 0, {}, {}}; events.left() != 0; ++event.lsn) {
        Fields fields(events.take());
        const std::uint64_t kind = fields.number();
        std::int64_t time_ms = 0;
        if (__builtin_add_overflow(base_time_ms, fields.signed_number(), &time_ms)) {
            malformed("a time is outside the calendar");
        }
        event.time_ms = checked_time(time_ms);
        event.body = decoder.body(kind <= 0xFF ? static_cast<EventKind>(kind) : EventKind{}, fields);
        event.idempotency_key = fields.left() == 0 ? std::string_view() : fields.text();
        fields.done();
        visit(event);
    }
}

}  // namespace

EventGroupInfo read_event_group(std::string_view value, const std::function<void(const Event&)>& visit) {
    EventGroupInfo info;
    try {
        read_payload(checked_payload(value), info, visit);
    } catch (const msgpack::unpack_error& failure) {
        throw CorruptionError(
            "event group" +
            (info.first_lsn == 0 ? std::string() : " at LSN " + std::to_string(info.first_lsn)) +
            ": not MessagePack (" + failure.what() + ")");
    } catch (const CorruptionError& failure) {
        throw CorruptionError(
            "event group" +
            (info.first_lsn == 0 ? std::string() : " at LSN " + std::to_string(info.first_lsn)) + ": " +
            failure.what());
    }
    return info;
}

}  // namespace karma
