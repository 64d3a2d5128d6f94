#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "engine/day.h"

namespace karma {

/// One bucket of a counter. Value 0 means that there is no such bucket.
struct Point {
    Day day = 0;
    std::uint64_t value = 0;

    bool operator==(const Point&) const = default;
};

/// A counter in a page: its key, its total and its buckets, in the narrowest form that holds them. This class
/// only reads; the functions `counter_*` below write. docs/page-format.md describes the forms.
///
/// A Counter points into a page and lives no longer than the page does unchanged.
class Counter {
public:
    enum class Form : std::uint8_t { empty = 0, single = 1, dense = 2, sparse16 = 3, sparse32 = 4 };

    explicit Counter(const std::byte* record) noexcept : record_(record) {}

    std::uint64_t key() const noexcept { return load<std::uint64_t>(0); }

    /// Sum of all buckets.
    std::uint64_t total() const noexcept;

    /// Number of buckets with a value.
    std::size_t buckets() const noexcept;

    std::uint64_t value(Day day) const noexcept;

    std::uint64_t sum(DayRange range) const noexcept;

    /// Calls `visit(Point)` for each bucket in the range, by day ascending.
    template <typename Visit>
    void for_each(DayRange range, Visit&& visit) const;

    /// Bytes of the record, a multiple of 4.
    std::size_t size() const noexcept;

    /// Whether the record's own numbers agree with each other and fit into `available` bytes.
    bool is_sound(std::size_t available) const noexcept;

    Form form() const noexcept { return static_cast<Form>((tag() >> 26U) & 7U); }

private:
    friend class CounterWriter;

    static constexpr std::size_t tag_at = 8;
    static constexpr std::size_t single_value_at = 12;
    static constexpr std::size_t empty_size = 12;
    static constexpr std::size_t count_at = 12;  // dense: days spanned; sparse: buckets
    static constexpr std::size_t capacity_at = 16;
    static constexpr std::size_t total_at = 20;
    static constexpr std::size_t array_at = 28;

    template <typename T>
    T load(std::size_t at) const noexcept {
        T value;
        std::memcpy(&value, record_ + at, sizeof value);
        return value;
    }

    std::uint32_t tag() const noexcept { return load<std::uint32_t>(tag_at); }
    Day base() const noexcept { return tag() & 0xFFFFFFU; }
    std::size_t width() const noexcept { return std::size_t{1} << ((tag() >> 24U) & 3U); }
    std::uint32_t count() const noexcept { return load<std::uint32_t>(count_at); }
    std::uint32_t capacity() const noexcept { return load<std::uint32_t>(capacity_at); }
    std::size_t offset_width() const noexcept { return form() == Form::sparse16 ? 2 : 4; }
    std::size_t values_at() const noexcept {
        return form() == Form::dense ? array_at : array_at + capacity() * offset_width();
    }

    std::uint64_t load_value(std::size_t at, std::size_t index) const noexcept;
    Day sparse_day(std::size_t index) const noexcept {
        return base() + (form() == Form::sparse16 ? load<std::uint16_t>(array_at + index * 2)
                                                  : load<std::uint32_t>(array_at + index * 4));
    }
    /// Index of the first sparse bucket at `day` or later.
    std::size_t sparse_lower_bound(Day day) const noexcept;

    const std::byte* record_;
};

template <typename Visit>
void Counter::for_each(DayRange range, Visit&& visit) const {
    switch (form()) {
        case Form::empty: return;
        case Form::single:
            if (range.from <= base() && base() <= range.to) {
                visit(Point{base(), load_value(single_value_at, 0)});
            }
            return;
        case Form::dense: {
            if (count() == 0 || range.to < base()) {
                return;
            }
            const std::size_t first = range.from > base() ? range.from - base() : 0;
            const std::size_t last = std::min<std::size_t>(count() - 1, range.to - base());
            for (std::size_t i = first; i <= last; ++i) {
                if (const auto value = load_value(array_at, i); value != 0) {
                    visit(Point{base() + static_cast<Day>(i), value});
                }
            }
            return;
        }
        case Form::sparse16:
        case Form::sparse32: {
            const std::size_t values = values_at();
            for (std::size_t i = sparse_lower_bound(range.from); i < count(); ++i) {
                const Day day = sparse_day(i);
                if (day > range.to) {
                    return;
                }
                visit(Point{day, load_value(values, i)});
            }
            return;
        }
    }
}

/// Sets the bucket of a record in place, value 0 removing it; the record never gets longer. `old` is its
/// value before. False when the record cannot hold the new value: nothing was changed, encode the counter
/// anew.
bool counter_try_set(std::byte* record, Day day, std::uint64_t value, std::uint64_t& old) noexcept;

/// Adds to an existing bucket in place, as most changes do. False, with nothing changed, when there is no
/// such bucket, the sum needs more room, or the record is of another form than single or dense.
bool counter_try_add(std::byte* record, Day day, std::uint64_t value) noexcept;

/// Removes all buckets; the key stays.
void counter_clear(std::byte* record) noexcept;

/// Bytes that `counter_encode` writes for these points, which are ascending by day and have values above 0.
/// `room_to_grow` reserves some capacity for further days.
std::size_t counter_encoded_size(std::span<const Point> points, bool room_to_grow) noexcept;

/// Writes the record of a key with these points to `record`, which has room for `counter_encoded_size` bytes.
void counter_encode(std::uint64_t key, std::span<const Point> points, bool room_to_grow,
                    std::byte* record) noexcept;

}  // namespace karma
