#include "net/fast_decoder.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <type_traits>

#include "net/authorize.h"

namespace karma::net {
namespace {

using mutation::Item;

/// The fields that the common requests have. A bit of `present` says whether one was there.
struct CommonFields {
    enum : unsigned {
        version = 1,
        op_name = 2,
        series_name = 4,
        key_number = 8,
        bucket_day = 16,
        value_number = 32,
        day_range = 64,
        key_list = 128,
        item_list = 256,
        token_text = 512,
        key_text = 1024,
        stream_text = 2048,
        chunk_number = 4096,
        reply_text = 8192
    };

    unsigned present = 0;
    std::string_view op;
    std::string_view series;
    std::string_view token;
    std::string_view idempotency_key;
    std::uint64_t key = 0;
    Day bucket = today;
    std::uint64_t value = 1;
    Period range;
    bool shows_totals = false;
    std::span<const std::uint64_t> keys;
    std::span<const Item> items;
    std::string_view stream_id;
    std::uint64_t chunk_seq = 0;
    std::uint64_t smallest_item_value = std::numeric_limits<std::uint64_t>::max();

    bool has(unsigned field) const noexcept { return (present & field) != 0; }
    std::optional<Period> optional_range() const noexcept {
        return has(day_range) ? std::optional(range) : std::nullopt;
    }
};

/// Characters that stand for themselves in a text: ASCII from the space on, but for quote and backslash.
constexpr std::array<bool, 256> is_plain = [] {
    std::array<bool, 256> plain{};
    for (std::size_t c = ' '; c <= '~'; ++c) {
        plain[c] = c != '"' && c != '\\';
    }
    return plain;
}();

/// Whether a text is this one; unlike operator== it compares a number of bytes that the compiler knows.
template <std::size_t size>
bool is(std::string_view text, const char (&wanted)[size]) noexcept {
    return text.size() == size - 1 && std::memcmp(text.data(), wanted, size - 1) == 0;
}

/// Walks over a line. Every function returns false, or nothing, at the first thing that is not plain.
class Scanner {
public:
    Scanner(std::string_view line, boost::json::memory_resource& arena, DayCache& days)
        : at_(line.data()), end_(line.data() + line.size()), arena_(arena), days_(days) {}

    bool object(CommonFields& fields) {
        if (!take('{')) {
            return false;
        }
        do {
            std::string_view name;
            if (!text(name) || !take(':') || !field(name, fields)) {
                return false;
            }
        } while (take(','));
        if (!take('}')) {
            return false;
        }
        skip_space();
        return at_ == end_;
    }

private:
    void skip_space() noexcept {
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r')) {
            ++at_;
        }
    }

    bool take(char expected) noexcept {
        skip_space();
        if (at_ == end_ || *at_ != expected) {
            return false;
        }
        ++at_;
        return true;
    }

    bool text(std::string_view& value) noexcept {
        if (!take('"')) {
            return false;
        }
        const char* const begin = at_;
        skip_plain();
        if (at_ == end_ || *at_ != '"') {
            return false;
        }
        value = {begin, static_cast<std::size_t>(at_ - begin)};
        ++at_;
        return true;
    }

    /// Goes to the first character that is not plain.
    void skip_plain() noexcept {
        while (at_ != end_ && is_plain[static_cast<unsigned char>(*at_)]) {
            ++at_;
        }
    }

    bool number(std::uint64_t& value) noexcept {
        skip_space();
        const char* const begin = at_;
        std::uint64_t parsed = 0;
        while (at_ != end_ && *at_ >= '0' && *at_ <= '9') {
            parsed = parsed * 10 + static_cast<std::uint64_t>(*at_ - '0');
            ++at_;
        }
        const std::size_t digits = static_cast<std::size_t>(at_ - begin);
        // 19 digits always fit; a zero in front, a fraction or an exponent is for the general path.
        if (digits == 0 || digits > 19 || (digits > 1 && *begin == '0') || at_ == end_ || *at_ == '.' ||
            *at_ == 'e' || *at_ == 'E') {
            return false;
        }
        value = parsed;
        return true;
    }

    bool day(Day& value) noexcept {
        skip_space();
        std::optional<Day> parsed;
        if (at_ != end_ && *at_ == '"') {
            std::string_view written;
            parsed = text(written) ? day_from_text(written) : std::nullopt;
        } else {
            std::uint64_t written = 0;
            parsed = number(written) ? days_.find(written) : std::nullopt;
        }
        value = parsed.value_or(0);
        return parsed.has_value();
    }

    bool range(Period& value) noexcept {
        skip_space();
        DayRange parsed;
        std::string_view name;
        if (at_ != end_ && *at_ == '"') {
            return text(name) && period(period_from_name(name), value);
        }
        if (!days(parsed)) {
            return false;
        }
        value = parsed;
        return true;
    }

    bool last(Period& value) noexcept {
        std::string_view written;
        return text(written) && period(period_from_last(written), value);
    }

    static bool period(const std::optional<Period>& named, Period& value) noexcept {
        value = named.value_or(value);
        return named.has_value();
    }

    bool days(DayRange& value) noexcept {
        bool from = false;
        bool to = false;
        if (!take('{')) {
            return false;
        }
        do {
            std::string_view name;
            std::uint64_t written = 0;
            if (!text(name) || !take(':') || !number(written)) {
                return false;
            }
            const std::optional<Day> parsed = days_.find(written);
            if (!parsed || (name == "from" ? from : to)) {
                return false;
            }
            if (name == "from") {
                value.from = *parsed;
                from = true;
            } else if (name == "to") {
                value.to = *parsed;
                to = true;
            } else {
                return false;
            }
        } while (take(','));
        return take('}') && from && to && value.from <= value.to;
    }

    /// Room for as many elements as the rest of the line can hold when each takes at least `bytes_min`.
    template <typename T>
    std::span<T> room_for_rest(std::size_t bytes_min) {
        const std::size_t count = static_cast<std::size_t>(end_ - at_) / bytes_min + 1;
        return {static_cast<T*>(arena_.allocate(count * sizeof(T), alignof(T))), count};
    }

    bool keys(std::span<const std::uint64_t>& value) {
        if (!take('[')) {
            return false;
        }
        constexpr std::size_t bytes_min = 2;  // "1,"
        const std::span<std::uint64_t> room = room_for_rest<std::uint64_t>(bytes_min);
        std::size_t count = 0;
        do {
            if (!number(room[count])) {
                return false;  // an empty list too
            }
            ++count;
        } while (take(','));
        value = room.first(count);
        return take(']');
    }

    bool items(CommonFields& fields) {
        if (!take('[')) {
            return false;
        }
        constexpr std::size_t bytes_min = 11;  // "[1,10101,1]"
        const std::span<Item> room = room_for_rest<Item>(bytes_min);
        std::size_t count = 0;
        do {
            Item item;
            if (!take('[') || !number(item.key) || !take(',') || !day(item.day) || !take(',') ||
                !number(item.value) || !take(']')) {
                return false;
            }
            fields.smallest_item_value = std::min(fields.smallest_item_value, item.value);
            room[count] = item;
            ++count;
        } while (take(','));
        fields.items = room.first(count);
        return take(']');
    }

    bool field(std::string_view name, CommonFields& fields) {
        using F = CommonFields;
        std::uint64_t version = 0;
        // A field that comes twice, under one name or two, is for the general path.
        const auto first_time = [&](unsigned bit) {
            const bool first = !fields.has(bit);
            fields.present |= bit;
            return first;
        };
        if (is(name, "key")) {
            return first_time(F::key_number) && number(fields.key);
        }
        if (is(name, "v")) {
            return first_time(F::version) && number(version) && version == 2;
        }
        if (is(name, "op")) {
            return first_time(F::op_name) && text(fields.op);
        }
        if (is(name, "series") || is(name, "tree")) {
            return first_time(F::series_name) && text(fields.series) && !fields.series.empty();
        }
        if (is(name, "bucket") || is(name, "date")) {
            return first_time(F::bucket_day) && day(fields.bucket);
        }
        if (is(name, "value")) {
            return first_time(F::value_number) && number(fields.value);
        }
        if (is(name, "range")) {
            return first_time(F::day_range) && range(fields.range);
        }
        if (is(name, "last")) {
            return first_time(F::day_range) && last(fields.range);
        }
        if (is(name, "reply")) {
            std::string_view wanted;
            fields.shows_totals = first_time(F::reply_text) && text(wanted) && is(wanted, "total");
            return fields.shows_totals;
        }
        if (is(name, "keys")) {
            return first_time(F::key_list) && keys(fields.keys);
        }
        if (is(name, "items")) {
            return first_time(F::item_list) && items(fields);
        }
        if (is(name, "idempotency_key")) {
            constexpr std::size_t bytes_max = 256;
            return first_time(F::key_text) && text(fields.idempotency_key) &&
                   !fields.idempotency_key.empty() && fields.idempotency_key.size() <= bytes_max;
        }
        if (is(name, "stream_id")) {
            return first_time(F::stream_text) && text(fields.stream_id) && !fields.stream_id.empty();
        }
        if (is(name, "chunk_seq")) {
            return first_time(F::chunk_number) && number(fields.chunk_seq);
        }
        return is(name, "token") && first_time(F::token_text) && text(fields.token);
    }

    const char* at_;
    const char* end_;
    boost::json::memory_resource& arena_;
    DayCache& days_;
};

/// An op that is read here: the fields that it must and that it may have, and how they make its request. A
/// request with others is for the general path, which passes over them or refuses it. Everything else about
/// it is in the table of ops.
struct CommonOp {
    const Op* op;
    unsigned required;
    unsigned optional;
    bool (*make)(const CommonFields& f, Request& request);
};

template <typename Body, typename... Values>
bool make_mutation(Request& request, Values&&... values) {
    request.emplace<Mutation>(Body{std::forward<Values>(values)...});
    return true;
}

template <typename Body, typename... Values>
bool make_query(Request& request, Values&&... values) {
    request.emplace<Body>(Body{std::forward<Values>(values)...});
    return true;
}

bool increment(const CommonFields& f, Request& request) {
    return f.value != 0 &&
           make_mutation<mutation::Increment>(request, f.series, f.key, f.bucket, f.value, f.shows_totals);
}

bool decrement(const CommonFields& f, Request& request) {
    return f.value != 0 &&
           make_mutation<mutation::Decrement>(request, f.series, f.key, f.bucket, f.value, f.shows_totals);
}

bool batch_add(const CommonFields& f, Request& request) {
    return f.smallest_item_value != 0 && make_mutation<mutation::BatchAdd>(request, f.series, f.items);
}

bool batch_set(const CommonFields& f, Request& request) {
    return make_mutation<mutation::BatchSet>(request, f.series, f.items);
}

bool ingest_chunk(const CommonFields& f, Request& request) {
    if (f.chunk_seq == 0) {
        return false;
    }
    mutation::AddChunk chunk;
    chunk.series = f.series;
    chunk.stream_id = f.stream_id;
    chunk.chunk_seq = f.chunk_seq;
    chunk.items = f.items;
    request.emplace<Mutation>(chunk);
    return true;
}

bool sum(const CommonFields& f, Request& request) {
    return make_query<query::Sum>(request, f.series, f.key, f.optional_range());
}

bool points(const CommonFields& f, Request& request) {
    return make_query<query::Points>(request, f.series, f.key, f.range);
}

bool batch_sum(const CommonFields& f, Request& request) {
    return make_query<query::BatchSum>(request, f.series, f.keys, f.optional_range());
}

constexpr unsigned on_key = CommonFields::series_name | CommonFields::key_number;
constexpr unsigned on_items = CommonFields::series_name | CommonFields::item_list;
constexpr unsigned on_chunk = on_items | CommonFields::stream_text | CommonFields::chunk_number;
constexpr unsigned on_keys = CommonFields::series_name | CommonFields::key_list;

constexpr unsigned in_range = CommonFields::day_range;
constexpr unsigned with_key = CommonFields::key_text;
constexpr unsigned in_bucket =
    CommonFields::bucket_day | CommonFields::value_number | CommonFields::reply_text | with_key;

std::span<const CommonOp> common_ops() {
    static const CommonOp all[] = {
        {find_op("counter.increment"), on_key, in_bucket, increment},
        {find_op("counter.sum"), on_key, in_range, sum},
        {find_op("series.batch_add"), on_items, with_key, batch_add},
        {find_op("counter.batch_sum"), on_keys, in_range, batch_sum},
        {find_op("counter.decrement"), on_key, in_bucket, decrement},
        {find_op("counter.series"), on_key | in_range, 0, points},
        {find_op("series.batch_set"), on_items, with_key, batch_set},
        {find_op("ingest.chunk"), on_chunk, 0, ingest_chunk},
    };
    return all;
}

}  // namespace

bool FastDecoder::decode(std::string_view line, bool accepts_writes, boost::json::memory_resource& arena,
                         Request& request, Call& call) {
    CommonFields fields;
    if (!Scanner(line, arena, days_).object(fields)) {
        return false;
    }
    constexpr unsigned always = CommonFields::version | CommonFields::op_name;
    for (const CommonOp& common : common_ops()) {
        const Op& op = *common.op;
        if (op.name != fields.op) {
            continue;
        }
        const unsigned required = common.required | always;
        const unsigned known = required | common.optional | CommonFields::token_text;
        const Grant grant = access_.grant(fields.token);
        if ((fields.present & required) != required || (fields.present & ~known) != 0 ||
            authorize(op, grant.level, accepts_writes) != Denial::none || !common.make(fields, request)) {
            return false;
        }
        if (grant.series != nullptr && !is_within(*grant.series, request)) {
            return false;
        }
        if (op.idempotent && fields.has(CommonFields::key_text)) {
            request = make_keyed(std::get<Mutation>(request), fields.idempotency_key, {}, arena);
        }
        call.op = &op;
        call.access = grant.level;
        return true;
    }
    return false;
}

KeyedMutation make_keyed(const Mutation& body, std::string_view key, std::string_view fingerprint,
                         boost::json::memory_resource& arena) {
    static_assert(std::is_trivially_destructible_v<Mutation>);
    return {new (arena.allocate(sizeof(Mutation), alignof(Mutation))) Mutation(body), key, fingerprint};
}

}  // namespace karma::net
