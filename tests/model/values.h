#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/json.h"

// What the model is made of. Nothing here or in the rest of this folder uses code of the program under test.
namespace karma::test::model {

__extension__ using Wide = unsigned __int128;  // totals over many keys

inline constexpr std::uint64_t value_max = ~std::uint64_t{0};

// A day as protocol v2 writes it: 20260505.
using Day = std::uint32_t;

struct Range {
    Day from = 0;
    Day to = 0;

    bool contains(Day day) const { return from <= day && day <= to; }
};

inline constexpr Range all_days{10101, 99991231};

struct Item {
    std::uint64_t key = 0;
    Day day = 0;
    std::uint64_t value = 0;
};

struct SeriesItem {
    std::string series;
    Item item;
};

using Buckets = std::map<Day, std::uint64_t>;

// The counters of a series. A key may have no buckets.
using Series = std::map<std::uint64_t, Buckets>;

// A value that copies share until one of them changes it.
template <typename T>
class Shared {
public:
    Shared() : value_(std::make_shared<T>()) {}

    const T& operator*() const { return *value_; }
    const T* operator->() const { return value_.get(); }
    T& change() {
        if (value_.use_count() > 1) value_ = std::make_shared<T>(*value_);
        return *value_;
    }

private:
    std::shared_ptr<T> value_;
};

using SharedSeries = Shared<Series>;

inline Wide total_of(const Buckets& buckets, Range range = all_days) {
    Wide total = 0;
    for (auto at = buckets.lower_bound(range.from); at != buckets.end() && at->first <= range.to; ++at)
        total += at->second;
    return total;
}

// The number as a reply has it.
json::value to_json(Wide number);

bool is_calendar_day(std::uint64_t number);

// Unix seconds of "2026-05-05T13:30:00+02:00"; false where the text is no such time.
bool read_time(std::string_view text, std::int64_t& seconds, bool end_of_day);

std::int64_t unix_now();
Day utc_day(std::int64_t unix_seconds);

// SHA-256 in hexadecimal digits.
std::string sha256(std::string_view text);

}  // namespace karma::test::model
