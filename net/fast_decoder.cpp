#include "net/fast_decoder.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <type_traits>

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
        key_text = 1024
    };

    unsigned present = 0;
    std::string_view op;
    std::string_view series;
    std::string_view token;
    std::string_view idempotency_key;
    std::uint64_t key = 0;
    Day bucket = today;
    std::uint64_t value = 1;
    DayRange range;
    std::span<const std::uint64_t> keys;
    std::span<const Item> items;
    std::uint64_t smallest_item_value = std::numeric_limits<std::uint64_t>::max();

    bool has(unsigned field) const noexcept { return (present & field) != 0; }
    std::optional<DayRange> optional_range() const noexcept {
        return has(day_range) ? std::optional(range) : std::nullopt;
    }
};

/// Walks over a line. Every function returns false, or nothing, at the first thing that is not plain.
class Scanner {
public:
    Scanner(std::string_view line, boost::json::memory_resource& arena)
        : at_(line.data()), end_(line.data() + line.size()), arena_(arena) {}

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
        while (at_ != end_ && *at_ != '"') {
            const auto c = static_cast<unsigned char>(*at_);
            if (c < 0x20 || c > 0x7E || c == '\\') {
                return false;
            }
            ++at_;
        }
        if (at_ == end_) {
            return false;
        }
        value = {begin, static_cast<std::size_t>(at_ - begin)};
        ++at_;
        return true;
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
            parsed = number(written) ? cached_day(written) : std::nullopt;
        }
        value = parsed.value_or(0);
        return parsed.has_value();
    }

    /// Neighbouring items mostly have the same day.
    std::optional<Day> cached_day(std::uint64_t yyyymmdd) noexcept {
        if (yyyymmdd != last_yyyymmdd_) {
            const std::optional<Day> parsed = day_from_yyyymmdd(yyyymmdd);
            if (!parsed) {
                return std::nullopt;
            }
            last_yyyymmdd_ = yyyymmdd;
            last_day_ = *parsed;
        }
        return last_day_;
    }

    bool range(DayRange& value) noexcept {
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
            const std::optional<Day> parsed = day_from_yyyymmdd(written);
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
        if (name == "key") {
            return first_time(F::key_number) && number(fields.key);
        }
        if (name == "v") {
            return first_time(F::version) && number(version) && version == 2;
        }
        if (name == "op") {
            return first_time(F::op_name) && text(fields.op);
        }
        if (name == "series" || name == "tree") {
            return first_time(F::series_name) && text(fields.series) && !fields.series.empty();
        }
        if (name == "bucket" || name == "date") {
            return first_time(F::bucket_day) && day(fields.bucket);
        }
        if (name == "value") {
            return first_time(F::value_number) && number(fields.value);
        }
        if (name == "range") {
            return first_time(F::day_range) && range(fields.range);
        }
        if (name == "keys") {
            return first_time(F::key_list) && keys(fields.keys);
        }
        if (name == "items") {
            return first_time(F::item_list) && items(fields);
        }
        if (name == "idempotency_key") {
            constexpr std::size_t bytes_max = 256;
            return first_time(F::key_text) && text(fields.idempotency_key) &&
                   !fields.idempotency_key.empty() && fields.idempotency_key.size() <= bytes_max;
        }
        return name == "token" && first_time(F::token_text) && text(fields.token);
    }

    const char* at_;
    const char* end_;
    boost::json::memory_resource& arena_;
    std::uint64_t last_yyyymmdd_ = 1'01'01;
    Day last_day_ = 0;  // which is that day
};

/// An op that is read here: the fields that it must have, and how they make its request.
struct CommonOp {
    std::string_view name;
    bool writes;
    unsigned required;
    std::optional<Request> (*make)(const CommonFields& f);
};

std::optional<Request> increment(const CommonFields& f) {
    return f.value == 0
               ? std::nullopt
               : std::optional<Request>(Mutation(mutation::Increment{f.series, f.key, f.bucket, f.value}));
}

std::optional<Request> decrement(const CommonFields& f) {
    return f.value == 0
               ? std::nullopt
               : std::optional<Request>(Mutation(mutation::Decrement{f.series, f.key, f.bucket, f.value}));
}

std::optional<Request> batch_add(const CommonFields& f) {
    return f.smallest_item_value == 0
               ? std::nullopt
               : std::optional<Request>(Mutation(mutation::BatchAdd{f.series, f.items}));
}

std::optional<Request> batch_set(const CommonFields& f) {
    return Mutation(mutation::BatchSet{f.series, f.items});
}
std::optional<Request> sum(const CommonFields& f) { return query::Sum{f.series, f.key, f.optional_range()}; }
std::optional<Request> points(const CommonFields& f) { return query::Points{f.series, f.key, f.range}; }
std::optional<Request> batch_sum(const CommonFields& f) {
    return query::BatchSum{f.series, f.keys, f.optional_range()};
}

constexpr unsigned on_key = CommonFields::series_name | CommonFields::key_number;
constexpr unsigned on_items = CommonFields::series_name | CommonFields::item_list;
constexpr unsigned on_keys = CommonFields::series_name | CommonFields::key_list;

constexpr CommonOp common_ops[] = {
    {"counter.increment", true, on_key, increment},
    {"counter.sum", false, on_key, sum},
    {"series.batch_add", true, on_items, batch_add},
    {"counter.batch_sum", false, on_keys, batch_sum},
    {"counter.decrement", true, on_key, decrement},
    {"counter.series", false, on_key | CommonFields::day_range, points},
    {"series.batch_set", true, on_items, batch_set},
};

}  // namespace

std::optional<Request> decode_fast(std::string_view line, const Access& access, bool accepts_writes,
                                   boost::json::memory_resource& arena) {
    CommonFields fields;
    if (!Scanner(line, arena).object(fields)) {
        return std::nullopt;
    }
    constexpr unsigned always = CommonFields::version | CommonFields::op_name;
    for (const CommonOp& op : common_ops) {
        if (op.name != fields.op) {
            continue;
        }
        const unsigned required = op.required | always;
        const Access::Level level = access.level(fields.token);
        const bool allowed = level == Access::Level::all || (level == Access::Level::read && !op.writes);
        if ((fields.present & required) != required || !allowed || (op.writes && !accepts_writes)) {
            return std::nullopt;
        }
        std::optional<Request> request = op.make(fields);
        if (request && op.writes && fields.has(CommonFields::key_text)) {
            return make_keyed(std::get<Mutation>(*request), fields.idempotency_key, {}, arena);
        }
        return request;
    }
    return std::nullopt;
}

KeyedMutation make_keyed(const Mutation& body, std::string_view key, std::string_view fingerprint,
                         boost::json::memory_resource& arena) {
    static_assert(std::is_trivially_destructible_v<Mutation>);
    return {new (arena.allocate(sizeof(Mutation), alignof(Mutation))) Mutation(body), key, fingerprint};
}

}  // namespace karma::net
