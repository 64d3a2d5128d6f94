#include "engine/counter.h"

#include <bit>
#include <limits>

namespace karma {
namespace {

constexpr std::size_t granule = 4;

constexpr std::size_t round_up(std::size_t size) noexcept { return (size + granule - 1) / granule * granule; }

unsigned width_log2(std::uint64_t value) noexcept {
    if (value <= std::numeric_limits<std::uint8_t>::max()) {
        return 0;
    }
    if (value <= std::numeric_limits<std::uint16_t>::max()) {
        return 1;
    }
    return value <= std::numeric_limits<std::uint32_t>::max() ? 2 : 3;
}

bool fits(std::uint64_t value, std::size_t width) noexcept {
    return width == 8 || (value >> (8 * width)) == 0;
}

template <typename T>
void store(std::byte* at, T value) noexcept {
    std::memcpy(at, &value, sizeof value);
}

void store_value(std::byte* values, std::size_t width, std::size_t index, std::uint64_t value) noexcept {
    std::memcpy(values + index * width, &value, width);  // little-endian: the low bytes come first
}

static_assert(std::endian::native == std::endian::little, "records are little-endian");

template <typename T>
std::uint64_t sum_array(const std::byte* values, std::size_t count) noexcept {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
        T value;
        std::memcpy(&value, values + i * sizeof(T), sizeof value);
        sum += value;
    }
    return sum;
}

std::uint64_t sum_values(const std::byte* values, std::size_t width, std::size_t count) noexcept {
    switch (width) {
        case 1: return sum_array<std::uint8_t>(values, count);
        case 2: return sum_array<std::uint16_t>(values, count);
        case 4: return sum_array<std::uint32_t>(values, count);
        default: return sum_array<std::uint64_t>(values, count);
    }
}

template <typename T>
std::size_t count_array(const std::byte* values, std::size_t count) noexcept {
    std::size_t found = 0;
    for (std::size_t i = 0; i < count; ++i) {
        T value;
        std::memcpy(&value, values + i * sizeof(T), sizeof value);
        found += value != 0 ? 1U : 0U;
    }
    return found;
}

std::size_t count_values(const std::byte* values, std::size_t width, std::size_t count) noexcept {
    switch (width) {
        case 1: return count_array<std::uint8_t>(values, count);
        case 2: return count_array<std::uint16_t>(values, count);
        case 4: return count_array<std::uint32_t>(values, count);
        default: return count_array<std::uint64_t>(values, count);
    }
}

/// How a list of points is best written.
struct Layout {
    Counter::Form form = Counter::Form::empty;
    unsigned width_log2 = 0;
    std::size_t count = 0;     // dense: days spanned; sparse: buckets
    std::size_t capacity = 0;  // the same, with room to grow
    std::size_t size = 0;
};

Layout plan(std::span<const Point> points, bool room_to_grow) noexcept {
    Layout layout;
    if (points.empty()) {
        layout.size = 12;
        return layout;
    }
    std::uint64_t largest = 0;
    for (const Point& point : points) {
        largest = std::max(largest, point.value);
    }
    layout.width_log2 = width_log2(largest);
    const std::size_t width = std::size_t{1} << layout.width_log2;
    if (points.size() == 1) {
        layout.form = Counter::Form::single;
        layout.size = round_up(12 + width);
        return layout;
    }
    const std::size_t span = points.back().day - points.front().day + 1;
    const std::size_t offset_width = span - 1 <= std::numeric_limits<std::uint16_t>::max() ? 2 : 4;
    if (span * width <= points.size() * (offset_width + width)) {
        layout.form = Counter::Form::dense;
        layout.count = span;
    } else {
        layout.form = offset_width == 2 ? Counter::Form::sparse16 : Counter::Form::sparse32;
        layout.count = points.size();
    }
    layout.capacity = layout.count + (room_to_grow ? layout.count / 8 + 2 : 0);
    const std::size_t entry = layout.form == Counter::Form::dense ? width : offset_width + width;
    layout.size = round_up(28 + layout.capacity * entry);
    return layout;
}

std::uint32_t make_tag(Day base, Counter::Form form, unsigned width_log2) noexcept {
    return base | (width_log2 << 24U) | (static_cast<std::uint32_t>(form) << 26U);
}

}  // namespace

std::uint64_t Counter::load_value(std::size_t at, std::size_t index) const noexcept {
    switch (width()) {
        case 1: return load<std::uint8_t>(at + index);
        case 2: return load<std::uint16_t>(at + index * 2);
        case 4: return load<std::uint32_t>(at + index * 4);
        default: return load<std::uint64_t>(at + index * 8);
    }
}

std::uint64_t Counter::total() const noexcept {
    switch (form()) {
        case Form::empty: return 0;
        case Form::single: return load_value(single_value_at, 0);
        default: return load<std::uint64_t>(total_at);
    }
}

std::size_t Counter::buckets() const noexcept {
    switch (form()) {
        case Form::empty: return 0;
        case Form::single: return 1;
        case Form::dense: return count_values(record_ + array_at, width(), count());
        default: return count();
    }
}

std::size_t Counter::sparse_lower_bound(Day day) const noexcept {
    std::size_t low = 0;
    std::size_t high = count();
    while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (sparse_day(middle) < day) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

std::uint64_t Counter::value(Day day) const noexcept {
    switch (form()) {
        case Form::empty: return 0;
        case Form::single: return day == base() ? load_value(single_value_at, 0) : 0;
        case Form::dense:
            return day >= base() && day - base() < count() ? load_value(array_at, day - base()) : 0;
        default: {
            const std::size_t index = sparse_lower_bound(day);
            return index < count() && sparse_day(index) == day ? load_value(values_at(), index) : 0;
        }
    }
}

std::uint64_t Counter::sum(DayRange range) const noexcept {
    switch (form()) {
        case Form::empty: return 0;
        case Form::single:
            return range.from <= base() && base() <= range.to ? load_value(single_value_at, 0) : 0;
        case Form::dense: {
            if (count() == 0 || range.to < base() || range.from >= base() + count()) {
                return 0;
            }
            if (range.from <= base() && range.to >= base() + count() - 1) {
                return total();
            }
            const std::size_t first = range.from > base() ? range.from - base() : 0;
            const std::size_t last = std::min<std::size_t>(count() - 1, range.to - base());
            return sum_values(record_ + array_at + first * width(), width(), last - first + 1);
        }
        default: {
            const std::size_t first = sparse_lower_bound(range.from);
            const std::size_t end = range.to >= max_day ? count() : sparse_lower_bound(range.to + 1);
            return sum_values(record_ + values_at() + first * width(), width(), end - first);
        }
    }
}

std::size_t Counter::size() const noexcept {
    switch (form()) {
        case Form::empty: return empty_size;
        case Form::single: return round_up(single_value_at + width());
        default: return round_up(values_at() + capacity() * width());
    }
}

bool Counter::is_sound(std::size_t available) const noexcept {
    if (available < empty_size || form() > Form::sparse32 || base() > max_day) {
        return false;
    }
    if (form() == Form::empty || form() == Form::single) {
        return size() <= available && (form() == Form::empty || total() != 0);
    }
    if (available < array_at || count() > capacity() || capacity() > 4U * (max_day + 1) ||
        size() > available) {
        return false;
    }
    if (form() == Form::dense) {
        return base() + count() <= max_day + 1 && sum_values(record_ + array_at, width(), count()) == total();
    }
    for (std::size_t i = 0; i < count(); ++i) {
        if (sparse_day(i) > max_day || (i > 0 && sparse_day(i) <= sparse_day(i - 1)) ||
            load_value(values_at(), i) == 0) {
            return false;
        }
    }
    return sum_values(record_ + values_at(), width(), count()) == total();
}

/// The in-place changes of a record, form by form.
class CounterWriter {
public:
    explicit CounterWriter(std::byte* record) noexcept : record_(record), counter_(record) {}

    bool try_add(Day day, std::uint64_t value) noexcept {
        const Counter::Form form = counter_.form();
        const std::size_t offset = day - counter_.base();
        if (form == Counter::Form::single) {
            return offset == 0 && add_to(Counter::single_value_at, value);
        }
        if (form != Counter::Form::dense || day < counter_.base() || offset >= counter_.count() ||
            !add_to(Counter::array_at + offset * counter_.width(), value)) {
            return false;
        }
        store(record_ + Counter::total_at, counter_.total() + value);
        return true;
    }

    bool try_set(Day day, std::uint64_t value, std::uint64_t& old) noexcept {
        switch (counter_.form()) {
            case Counter::Form::empty: old = 0; return value == 0;
            case Counter::Form::single: return try_set_single(day, value, old);
            case Counter::Form::dense: return try_set_dense(day, value, old);
            default: return try_set_sparse(day, value, old);
        }
    }

    void clear() noexcept { store(record_ + Counter::tag_at, make_tag(0, Counter::Form::empty, 0)); }

private:
    /// Adds to a value that is not 0 and stays as wide as it is.
    bool add_to(std::size_t at, std::uint64_t value) noexcept {
        switch (counter_.width()) {
            case 1: return add_as<std::uint8_t>(at, value);
            case 2: return add_as<std::uint16_t>(at, value);
            case 4: return add_as<std::uint32_t>(at, value);
            default: return add_as<std::uint64_t>(at, value);
        }
    }

    template <typename T>
    bool add_as(std::size_t at, std::uint64_t value) noexcept {
        const T old = counter_.load<T>(at);
        if (old == 0 || value > std::numeric_limits<T>::max() - std::uint64_t{old}) {
            return false;
        }
        store(record_ + at, static_cast<T>(old + value));
        return true;
    }

    bool try_set_single(Day day, std::uint64_t value, std::uint64_t& old) noexcept {
        if (day != counter_.base()) {
            old = 0;
            return value == 0;
        }
        old = counter_.total();
        if (value == 0) {
            clear();
            return true;
        }
        if (!fits(value, counter_.width())) {
            return false;
        }
        store_value(record_ + Counter::single_value_at, counter_.width(), 0, value);
        return true;
    }

    bool try_set_dense(Day day, std::uint64_t value, std::uint64_t& old) noexcept {
        const Day base = counter_.base();
        const std::size_t width = counter_.width();
        std::byte* const values = record_ + Counter::array_at;
        if (day < base || day - base >= counter_.count()) {
            old = 0;
            return value == 0 || try_append_dense(day, value);
        }
        old = counter_.load_value(Counter::array_at, day - base);
        if (!fits(value, width)) {
            return false;
        }
        store_value(values, width, day - base, value);
        add_to_total(value - old);
        return true;
    }

    /// A day after the last one, within the capacity and close enough that the array stays dense.
    bool try_append_dense(Day day, std::uint64_t value) noexcept {
        constexpr std::size_t gap_max = 2;
        const std::size_t index = static_cast<std::size_t>(day) - counter_.base();
        const std::size_t span = counter_.count();
        const std::size_t width = counter_.width();
        if (day < counter_.base() || index >= counter_.capacity() || index - span > gap_max ||
            !fits(value, width)) {
            return false;
        }
        for (std::size_t i = span; i < index; ++i) {
            store_value(record_ + Counter::array_at, width, i, 0);
        }
        store_value(record_ + Counter::array_at, width, index, value);
        store(record_ + Counter::count_at, static_cast<std::uint32_t>(index + 1));
        add_to_total(value);
        return true;
    }

    bool try_set_sparse(Day day, std::uint64_t value, std::uint64_t& old) noexcept {
        const std::size_t index = counter_.sparse_lower_bound(day);
        const std::size_t width = counter_.width();
        if (index == counter_.count() || counter_.sparse_day(index) != day) {
            old = 0;
            return value == 0 || try_insert_sparse(index, day, value);
        }
        old = counter_.load_value(counter_.values_at(), index);
        if (value == 0) {
            move_sparse(index + 1, index);
            store(record_ + Counter::count_at, counter_.count() - 1);
            add_to_total(std::uint64_t{0} - old);
            return true;
        }
        if (!fits(value, width)) {
            return false;
        }
        store_value(record_ + counter_.values_at(), width, index, value);
        add_to_total(value - old);
        return true;
    }

    bool try_insert_sparse(std::size_t index, Day day, std::uint64_t value) noexcept {
        const std::size_t offset_width = counter_.offset_width();
        const std::size_t width = counter_.width();
        if (day < counter_.base() || counter_.count() == counter_.capacity() || !fits(value, width)) {
            return false;
        }
        const std::uint64_t offset = day - counter_.base();
        if (!fits(offset, offset_width)) {
            return false;
        }
        move_sparse(index, index + 1);
        store_value(record_ + Counter::array_at, offset_width, index, offset);
        store_value(record_ + counter_.values_at(), width, index, value);
        store(record_ + Counter::count_at, counter_.count() + 1);
        add_to_total(value);
        return true;
    }

    /// Moves the entries from `from` on to `to` on, in both arrays.
    void move_sparse(std::size_t from, std::size_t to) noexcept {
        const std::size_t moved = counter_.count() - from;
        const auto move_in = [&](std::byte* array, std::size_t width) {
            std::memmove(array + to * width, array + from * width, moved * width);
        };
        move_in(record_ + Counter::array_at, counter_.offset_width());
        move_in(record_ + counter_.values_at(), counter_.width());
    }

    /// Adds to the total modulo 2^64. A counter without buckets becomes empty.
    ///
    /// While the items of one event are applied the buckets may sum to more than 2^64-1, and so wrap to a
    /// total of 0 with buckets there: only the end result has to fit. So it is the buckets that are counted.
    void add_to_total(std::uint64_t difference) noexcept {
        const std::uint64_t total = counter_.total() + difference;
        if (total == 0 && counter_.buckets() == 0) {
            clear();
        } else {
            store(record_ + Counter::total_at, total);
        }
    }

    std::byte* record_;
    Counter counter_;
};

bool counter_try_set(std::byte* record, Day day, std::uint64_t value, std::uint64_t& old) noexcept {
    return CounterWriter(record).try_set(day, value, old);
}

bool counter_try_add(std::byte* record, Day day, std::uint64_t value) noexcept {
    return CounterWriter(record).try_add(day, value);
}

void counter_clear(std::byte* record) noexcept { CounterWriter(record).clear(); }

std::size_t counter_encoded_size(std::span<const Point> points, bool room_to_grow) noexcept {
    return plan(points, room_to_grow).size;
}

void counter_encode(std::uint64_t key, std::span<const Point> points, bool room_to_grow,
                    std::byte* record) noexcept {
    const Layout layout = plan(points, room_to_grow);
    std::memset(record, 0, layout.size);
    store(record, key);
    const Day base = points.empty() ? 0 : points.front().day;
    store(record + 8, make_tag(base, layout.form, layout.width_log2));
    const std::size_t width = std::size_t{1} << layout.width_log2;
    if (layout.form == Counter::Form::empty) {
        return;
    }
    if (layout.form == Counter::Form::single) {
        store_value(record + 12, width, 0, points.front().value);
        return;
    }
    store(record + 12, static_cast<std::uint32_t>(layout.count));
    store(record + 16, static_cast<std::uint32_t>(layout.capacity));
    const std::size_t offset_width = layout.form == Counter::Form::sparse16 ? 2 : 4;
    const bool dense = layout.form == Counter::Form::dense;
    std::byte* const values = record + 28 + (dense ? 0 : layout.capacity * offset_width);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < points.size(); ++i) {
        const std::size_t offset = points[i].day - base;
        if (!dense) {
            store_value(record + 28, offset_width, i, offset);
        }
        store_value(values, width, dense ? offset : i, points[i].value);
        total += points[i].value;
    }
    store(record + 20, total);
}

}  // namespace karma
