#include "engine/event_codec.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>

#include <msgpack.hpp>

#include "engine/checksum.h"
#include "engine/error.h"
#include "engine/msgpack_bytes.h"
#include "engine/replicated.h"
#include "engine/timestamp.h"

namespace karma {
namespace {

// Version 1 had neither idempotency keys nor the kinds above 16; what it has is written the same way.
constexpr std::uint32_t group_version = 2;

/// The number that names the kind of an event in the log: never reused, never changed.
enum class Kind : std::uint8_t {
    create_series = 1,
    drop_series = 2,
    increment = 3,
    decrement = 4,
    batch_add = 5,
    batch_set = 6,
    reset_counter = 7,
    reset_series = 8,
    batch_reset = 9,
    delete_counter_range = 10,
    delete_series_range = 11,
    batch_delete_range = 12,
    delete_before = 13,
    compact_series = 14,
    compact_all = 15,
    save_checkpoint = 16,
    begin_stream = 17,
    add_chunk = 18,
    commit_stream = 19,
    abort_stream = 20,
    prune_records = 21,
    load_series = 22,
    start_epoch = 23,
    prune_streams = 24,
    multi_add = 25,
};

/// Writes the facts of one event: an array of its kind, the milliseconds since the group's first event, what
/// the kind needs, and the idempotency key where it has one. Series are numbers into the group's list, days
/// are relative to the group's base day.
class Encoder {
public:
    /// `series`: the numbers of the series of the event, which outlive this.
    Encoder(std::string& out, std::int64_t delta_ms, Day base_day, std::span<const std::uint32_t> series,
            bool has_key)
        : appender_{out},
          packer_(appender_),
          delta_ms_(delta_ms),
          base_day_(base_day),
          series_(series),
          has_key_(has_key) {}

    void key(std::string_view key) { packer_.pack(key); }

    void operator()(const mutation::CreateSeries&) { begin(Kind::create_series, 1); }
    void operator()(const mutation::DropSeries&) { begin(Kind::drop_series, 1); }
    void operator()(const mutation::Increment& m) {
        begin(Kind::increment, 4);
        point(m.key, m.day, m.value);
    }
    void operator()(const mutation::Decrement& m) {
        begin(Kind::decrement, 4);
        point(m.key, m.day, m.value);
    }
    void operator()(const mutation::BatchAdd& m) {
        begin(Kind::batch_add, 2);
        items(m.items);
    }
    void operator()(const mutation::BatchSet& m) {
        begin(Kind::batch_set, 2);
        items(m.items);
    }
    void operator()(const mutation::MultiAdd& m) {
        head(Kind::multi_add, 1);
        packer_.pack_array(static_cast<std::uint32_t>(m.items.size() * 4));
        for (std::size_t i = 0; i < m.items.size(); ++i) {
            packer_.pack(series_[i]);
            point(m.items[i].key, m.day_of(m.items[i]), m.items[i].value);
        }
    }
    void operator()(const mutation::ResetCounter& m) {
        begin(Kind::reset_counter, 2);
        packer_.pack(m.key);
    }
    void operator()(const mutation::ResetSeries&) { begin(Kind::reset_series, 1); }
    void operator()(const mutation::BatchReset& m) {
        begin(Kind::batch_reset, 2);
        keys(m.keys);
    }
    void operator()(const mutation::DeleteCounterRange& m) {
        begin(Kind::delete_counter_range, 4);
        packer_.pack(m.key);
        range(m.range.days());
    }
    void operator()(const mutation::DeleteSeriesRange& m) {
        begin(Kind::delete_series_range, 3);
        range(m.range.days());
    }
    void operator()(const mutation::BatchDeleteRange& m) {
        begin(Kind::batch_delete_range, 4);
        keys(m.keys);
        range(m.range.days());
    }
    void operator()(const mutation::DeleteBefore& m) {
        begin(Kind::delete_before, 2);
        day(m.before);
    }
    void operator()(const mutation::CompactSeries&) { begin(Kind::compact_series, 1); }
    void operator()(const mutation::CompactAll&) { head(Kind::compact_all, 0); }
    void operator()(const mutation::SaveCheckpoint& m) {
        head(Kind::save_checkpoint, 3);
        packer_.pack(m.source);
        packer_.pack(m.offset);
        packer_.pack(m.event_id);
    }
    void operator()(const mutation::BeginStream& m) {
        head(Kind::begin_stream, 3);
        packer_.pack(m.stream_id);
        packer_.pack(static_cast<std::uint8_t>(m.mode));
        packer_.pack(m.granularity);
    }
    void operator()(const mutation::AddChunk& m) {
        begin(Kind::add_chunk, 5);
        packer_.pack(m.stream_id);
        packer_.pack(m.chunk_seq);
        packer_.pack_bin(static_cast<std::uint32_t>(m.fingerprint->bytes.size()));
        packer_.pack_bin_body(reinterpret_cast<const char*>(m.fingerprint->bytes.data()),
                              static_cast<std::uint32_t>(m.fingerprint->bytes.size()));
        items(m.items);
    }
    void operator()(const mutation::CommitStream& m) {
        head(Kind::commit_stream, 1);
        packer_.pack(m.stream_id);
    }
    void operator()(const mutation::AbortStream& m) {
        head(Kind::abort_stream, 1);
        packer_.pack(m.stream_id);
    }
    void operator()(const mutation::LoadSeries& m) {
        head(Kind::load_series, 1);
        packer_.pack(m.stream_id);
    }
    void operator()(const mutation::PruneRecords& m) {
        head(Kind::prune_records, m.below_lsn == 0 ? 2 : 3);  // as it was written, so that its checksum stays
        packer_.pack(m.before_unix);
        packer_.pack(m.limit);
        if (m.below_lsn != 0) {
            packer_.pack(m.below_lsn);
        }
    }
    void operator()(const mutation::StartEpoch& m) {
        head(Kind::start_epoch, m.node == 0 ? 2 : 3);  // as it was written, so that its checksum stays
        packer_.pack(m.number);
        packer_.pack(m.id);
        if (m.node != 0) {
            packer_.pack(m.node);
        }
    }
    void operator()(const mutation::PruneStreams& m) {
        head(Kind::prune_streams, 4);
        packer_.pack(m.before_unix);
        packer_.pack(m.limit);
        packer_.pack(m.last_unix);
        packer_.pack(m.last_id.value_or(std::string_view()));
    }

private:
    void head(Kind kind, std::uint32_t fields) {
        packer_.pack_array(fields + 2 + (has_key_ ? 1 : 0));
        packer_.pack(static_cast<std::uint8_t>(kind));
        packer_.pack(delta_ms_);
    }
    void begin(Kind kind, std::uint32_t fields) {
        head(kind, fields);
        packer_.pack(series_.front());
    }
    void day(Day day) { packer_.pack(static_cast<std::int32_t>(day) - static_cast<std::int32_t>(base_day_)); }
    void point(std::uint64_t key, Day at, std::uint64_t value) {
        packer_.pack(key);
        day(at);
        packer_.pack(value);
    }
    void range(DayRange range) {
        day(range.from);
        day(range.to);
    }
    void items(std::span<const mutation::Item> items) {
        packer_.pack_array(static_cast<std::uint32_t>(items.size() * 3));
        for (const mutation::Item& item : items) {
            point(item.key, item.day, item.value);
        }
    }
    void keys(std::span<const std::uint64_t> keys) {
        packer_.pack_array(static_cast<std::uint32_t>(keys.size()));
        for (const std::uint64_t key : keys) {
            packer_.pack(key);
        }
    }

    Appender appender_;
    msgpack::packer<Appender> packer_;
    std::int64_t delta_ms_;
    Day base_day_;
    std::span<const std::uint32_t> series_;
    bool has_key_;
};

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

    /// The facts of an event, of which the kind and the time have been taken.
    Mutation body(Kind kind, Fields& fields) {
        using namespace mutation;
        switch (kind) {
            case Kind::compact_all: return CompactAll{};
            case Kind::multi_add: return multi_add(fields);
            case Kind::save_checkpoint: {
                SaveCheckpoint m;
                m.source = fields.text();
                m.offset = fields.optional_text();
                m.event_id = fields.optional_text();
                return m;
            }
            case Kind::begin_stream: {
                BeginStream m;
                m.stream_id = fields.text();
                m.mode = ingest_mode(fields.number());
                m.granularity = fields.optional_text();
                return m;
            }
            case Kind::commit_stream: return CommitStream{fields.text()};
            case Kind::abort_stream: return AbortStream{fields.text()};
            case Kind::load_series: return LoadSeries{fields.text()};
            case Kind::prune_records: {
                PruneRecords m;
                m.before_unix = fields.signed_number();
                m.limit = fields.optional_number();
                m.below_lsn = fields.left() == 0 ? 0 : fields.number();
                return m;
            }
            case Kind::start_epoch: {
                StartEpoch m;
                m.number = fields.number();
                m.id = fields.number();
                m.node = fields.left() == 0 ? 0 : fields.number();
                return m;
            }
            case Kind::prune_streams: {
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
    Mutation body_of_series(Kind kind, std::string_view series, Fields& fields) {
        using namespace mutation;
        switch (kind) {
            case Kind::create_series: return CreateSeries{series};
            case Kind::drop_series: return DropSeries{series};
            case Kind::increment: return with_point<Increment>(series, fields);
            case Kind::decrement: return with_point<Decrement>(series, fields);
            case Kind::batch_add: return BatchAdd{series, items(fields)};
            case Kind::batch_set: return BatchSet{series, items(fields)};
            case Kind::reset_counter: return ResetCounter{series, fields.number()};
            case Kind::reset_series: return ResetSeries{series};
            case Kind::batch_reset: return BatchReset{series, keys(fields)};
            case Kind::delete_counter_range: {
                const std::uint64_t key = fields.number();
                return DeleteCounterRange{series, key, range(fields)};
            }
            case Kind::delete_series_range: return DeleteSeriesRange{series, range(fields)};
            case Kind::batch_delete_range: {
                const auto taken = keys(fields);
                return BatchDeleteRange{series, taken, range(fields)};
            }
            case Kind::delete_before: return DeleteBefore{series, day(fields)};
            case Kind::compact_series: return CompactSeries{series};
            case Kind::add_chunk: {
                AddChunk m;
                m.series = series;
                m.stream_id = fields.text();
                m.chunk_seq = fields.number();
                fingerprint_ = fields.fingerprint();
                m.fingerprint = &fingerprint_;
                m.items = items(fields);
                return m;
            }
            default: malformed("unknown kind of event " + std::to_string(static_cast<unsigned>(kind)));
        }
    }

    mutation::MultiAdd multi_add(Fields& fields) {
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
        return {series_items_};
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
    Fingerprint fingerprint_;
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
        event.body = decoder.body(kind <= 0xFF ? static_cast<Kind>(kind) : Kind{}, fields);
        event.idempotency_key = fields.left() == 0 ? std::string_view() : fields.text();
        fields.done();
        visit(event);
    }
}

/// The day that most days of an event are near to.
Day reference_day(const Mutation& body) noexcept {
    return std::visit(
        [](const auto& m) -> Day {
            if constexpr (std::is_same_v<std::decay_t<decltype(m)>, mutation::MultiAdd>) {
                return m.items.empty() ? 0 : m.day_of(m.items.front());  // the same before and after the log
            } else if constexpr (requires { m.day; }) {
                return m.day;
            } else if constexpr (requires { m.items; }) {
                return m.items.empty() ? 0 : m.items.front().day;
            } else if constexpr (requires { m.range; }) {
                return m.range.days().from;
            } else {
                return 0;
            }
        },
        body);
}

}  // namespace

namespace {

/// So many names are looked through one by one.
constexpr std::uint32_t few_names = 8;

}  // namespace

std::optional<std::uint32_t> EventGroupBuilder::find_number(std::string_view name) const noexcept {
    for (std::uint32_t i = 0; i < std::min(name_count_, few_names); ++i) {
        if (names_[i] == name) {
            return i;
        }
    }
    const auto found = numbers_.find(name);
    return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::uint32_t EventGroupBuilder::series_number(std::string_view name) {
    if (last_number_ < name_count_ && names_[last_number_] == name) {
        return last_number_;
    }
    if (const std::optional<std::uint32_t> known = find_number(name)) {
        last_number_ = *known;
        return last_number_;
    }
    last_number_ = name_count_++;
    if (last_number_ < names_.size()) {
        names_[last_number_] = name;
    } else {
        names_.emplace_back(name);
    }
    if (last_number_ >= few_names) {
        numbers_.emplace(name, last_number_);
    }
    return last_number_;
}

void EventGroupBuilder::add(const Event& event) {
    if (count_ == 0) {
        first_lsn_ = event.lsn;
        base_time_ms_ = event.time_ms;
        base_day_ = reference_day(event.body);
    }
    event_series_.clear();
    if (const auto* const multi = std::get_if<mutation::MultiAdd>(&event.body)) {
        for (const mutation::SeriesItem& item : multi->items) {
            event_series_.push_back(series_number(item.series));
        }
    } else if (const std::string_view series = series_of(event.body); !series.empty()) {
        event_series_.push_back(series_number(series));
    }
    const bool has_key = !event.idempotency_key.empty();
    Encoder encoder(events_, event.time_ms - base_time_ms_, base_day_, event_series_, has_key);
    std::visit(encoder, event.body);
    if (has_key) {
        encoder.key(event.idempotency_key);
    }
    ++count_;
}

void EventGroupBuilder::finish(std::string& out) {
    head_.clear();
    {
        Appender appender{head_};
        msgpack::packer<Appender> packer(appender);
        packer.pack_array(5);
        packer.pack(first_lsn_);
        packer.pack(base_time_ms_);
        packer.pack(base_day_);
        packer.pack_array(name_count_);
        for (std::uint32_t i = 0; i < name_count_; ++i) {
            packer.pack(names_[i]);
        }
        packer.pack_array(count_);
    }
    const std::uint32_t sum = crc32_of(events_, crc32_of(head_));
    out.clear();
    Appender appender{out};
    msgpack::packer<Appender> packer(appender);
    packer.pack_array(3);
    packer.pack(group_version);
    packer.pack(sum);
    packer.pack_bin(static_cast<std::uint32_t>(head_.size() + events_.size()));
    out += head_;
    out += events_;
    events_.clear();
    if (name_count_ > 1000) {
        names_.clear();  // not kept for ever
        event_series_ = {};
    }
    name_count_ = 0;
    numbers_.clear();
    count_ = 0;
    last_number_ = 0;
}

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

std::uint32_t checksum_of(const Event& event) {
    EventGroupBuilder alone;
    alone.add(event);
    std::string bytes;
    alone.finish(bytes);
    return crc32_of(bytes);
}

}  // namespace karma
