#include "net/fast_decoder.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <new>
#include <span>
#include <type_traits>

#include "net/authorize.h"
#include "net/op_catalog.h"
#include "net/op_fields.h"
#include "net/op_table.h"

namespace karma::net {
namespace {

using mutation::Item;

/// The fields that are read here, beside those of every request. The place of a field in this list is its bit
/// in `CommonFields::present`.
constexpr const Field* fast_fields[] = {
    &field::series,    &field::key,       &field::bucket, &field::value,
    &field::range,     &field::keys,      &field::items,  &field::idempotency_key,
    &field::stream_id, &field::chunk_seq, &field::reply,
};

/// 0 where the field is not read here.
constexpr unsigned bit_of(const Field& field) noexcept {
    for (std::size_t i = 0; i < std::size(fast_fields); ++i) {
        if (fast_fields[i] == &field) {
            return 1U << i;
        }
    }
    return 0;
}

constexpr unsigned version_bit = 1U << std::size(fast_fields);
constexpr unsigned op_bit = version_bit << 1U;
constexpr unsigned token_bit = op_bit << 1U;

struct CommonFields {
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

    bool has(unsigned bit) const noexcept { return (present & bit) != 0; }
    std::optional<Period> optional_range() const noexcept {
        return has(bit_of(field::range)) ? std::optional(range) : std::nullopt;
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

/// The same of the name of a field, and of the other one if it has one.
template <const Field& field>
bool is_name_of(std::string_view text) noexcept {
    constexpr std::string_view name = field.name;
    return text.size() == name.size() && std::memcmp(text.data(), name.data(), name.size()) == 0;
}
template <const Field& field>
bool is_other_name_of(std::string_view text) noexcept {
    constexpr std::string_view name = field.other_name;
    static_assert(!name.empty());
    return text.size() == name.size() && std::memcmp(text.data(), name.data(), name.size()) == 0;
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
            if (!text(name) || !take(':') || !member(name, fields)) {
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

    /// The one value of `reply` that is no default.
    bool totals(bool& value) noexcept {
        std::string_view wanted;
        value = text(wanted) && is(wanted, "total");
        return value;
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

    /// Notes a field. False for one that comes twice, under one name or two: it is for the general path.
    static bool is_first(unsigned bit, CommonFields& fields) noexcept {
        const bool first = !fields.has(bit);
        fields.present |= bit;
        return first;
    }

    bool member(std::string_view name, CommonFields& f) {
        if (is_name_of<field::key>(name)) {
            return is_first(bit_of(field::key), f) && number(f.key);
        }
        if (is(name, "v")) {
            std::uint64_t version = 0;
            return is_first(version_bit, f) && number(version) && version == 2;
        }
        if (is(name, "op")) {
            return is_first(op_bit, f) && text(f.op);
        }
        if (is_name_of<field::series>(name) || is_other_name_of<field::series>(name)) {
            return is_first(bit_of(field::series), f) && text(f.series) && !f.series.empty();
        }
        if (is_name_of<field::bucket>(name) || is_other_name_of<field::bucket>(name)) {
            return is_first(bit_of(field::bucket), f) && day(f.bucket);
        }
        if (is_name_of<field::value>(name)) {
            return is_first(bit_of(field::value), f) && number(f.value);
        }
        if (is_name_of<field::range>(name)) {
            return is_first(bit_of(field::range), f) && range(f.range);
        }
        if (is_other_name_of<field::range>(name)) {
            return is_first(bit_of(field::range), f) && last(f.range);
        }
        if (is_name_of<field::reply>(name)) {
            return is_first(bit_of(field::reply), f) && totals(f.shows_totals);
        }
        if (is_name_of<field::keys>(name)) {
            return is_first(bit_of(field::keys), f) && keys(f.keys);
        }
        if (is_name_of<field::items>(name)) {
            return is_first(bit_of(field::items), f) && items(f);
        }
        if (is_name_of<field::idempotency_key>(name)) {
            constexpr std::size_t bytes_max = 256;
            return is_first(bit_of(field::idempotency_key), f) && text(f.idempotency_key) &&
                   !f.idempotency_key.empty() && f.idempotency_key.size() <= bytes_max;
        }
        if (is_name_of<field::stream_id>(name)) {
            return is_first(bit_of(field::stream_id), f) && text(f.stream_id) && !f.stream_id.empty();
        }
        if (is_name_of<field::chunk_seq>(name)) {
            return is_first(bit_of(field::chunk_seq), f) && number(f.chunk_seq);
        }
        return is(name, "token") && is_first(token_bit, f) && text(f.token);
    }

    const char* at_;
    const char* end_;
    boost::json::memory_resource& arena_;
    DayCache& days_;
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

using Make = bool (*)(const CommonFields& f, Request& request);

/// An op that is read here: the fields that it must and that it may have, which its description says. A
/// request with others is for the general path, which passes over them or refuses it.
struct CommonOp {
    CommonOp(std::string_view name, Make function) : op(find_op(name)), make(function) {
        for (const OpField& described : op_fields(*op)) {
            const unsigned bit = bit_of(*described.field);
            (described.is_optional ? known : required) |= bit;
        }
        known |= required | token_bit;
    }

    const Op* op;
    unsigned required = version_bit | op_bit;
    unsigned known = 0;
    Make make;
};

/// The most common ones first.
std::span<const CommonOp> common_ops() {
    static const CommonOp all[] = {
        {"counter.increment", increment}, {"counter.sum", sum},
        {"series.batch_add", batch_add},  {"counter.batch_sum", batch_sum},
        {"counter.decrement", decrement}, {"counter.series", points},
        {"series.batch_set", batch_set},  {"ingest.chunk", ingest_chunk},
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
    for (const CommonOp& common : common_ops()) {
        const Op& op = *common.op;
        if (op.name != fields.op) {
            continue;
        }
        const Grant grant = access_.grant(fields.token);
        if ((fields.present & common.required) != common.required || (fields.present & ~common.known) != 0 ||
            authorize(op, grant.level, accepts_writes) != Denial::none || !common.make(fields, request)) {
            return false;
        }
        if (grant.series != nullptr && !is_within(*grant.series, request)) {
            return false;
        }
        if (fields.has(bit_of(field::idempotency_key))) {
            request = make_keyed(std::get<Mutation>(request), fields.idempotency_key, {}, arena);
        }
        call.op = &op;
        call.access = grant.level;
        return true;
    }
    return false;
}

std::vector<const Op*> fast_ops() {
    std::vector<const Op*> ops;
    for (const CommonOp& common : common_ops()) {
        ops.push_back(common.op);
    }
    return ops;
}

bool is_read_fast(const Field& field) noexcept { return bit_of(field) != 0; }

KeyedMutation make_keyed(const Mutation& body, std::string_view key, std::string_view fingerprint,
                         boost::json::memory_resource& arena) {
    static_assert(std::is_trivially_destructible_v<Mutation>);
    return {new (arena.allocate(sizeof(Mutation), alignof(Mutation))) Mutation(body), key, fingerprint};
}

}  // namespace karma::net
