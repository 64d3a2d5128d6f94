#include "persist/karma1/tree_reader.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <msgpack.hpp>

#include "engine/error.h"
#include "engine/number.h"

namespace karma {
namespace {

using Visit = std::function<void(std::uint64_t, std::span<const Point>)>;

/// Takes what msgpack's parser finds, element by element.
class TreeVisitor : public msgpack::null_visitor {
public:
    explicit TreeVisitor(const Visit& visit) : visit_(visit) {}

    bool visit_nil() { return other("nil"); }
    bool visit_boolean(bool /*value*/) { return other("a boolean"); }
    bool visit_negative_integer(std::int64_t /*value*/) { return other("a negative number"); }
    bool visit_float32(float /*value*/) { return other("a fraction"); }
    bool visit_float64(double /*value*/) { return other("a fraction"); }
    bool visit_bin(const char* /*data*/, std::uint32_t /*size*/) { return other("bytes"); }
    bool visit_ext(const char* /*data*/, std::uint32_t /*size*/) { return other("an extension"); }

    bool visit_positive_integer(std::uint64_t number) {
        switch (slot_) {
            case Slot::key: key_ = number; break;
            case Slot::day: day_ = to_day(number); break;
            case Slot::value: add_point(number); break;
            case Slot::total: total_ = number; break;
            case Slot::ignored:
            case Slot::branch_count: break;
            default: unexpected("a number");
        }
        return true;
    }

    bool visit_str(const char* data, std::uint32_t size) {
        const std::string_view text(data, size);
        switch (slot_) {
            case Slot::file_field: next_ = file_field(text); break;
            case Slot::counter_field: next_ = counter_field(text); break;
            case Slot::key:
            case Slot::day: return visit_positive_integer(to_number(text));
            case Slot::ignored: break;
            default: unexpected("a text");
        }
        return true;
    }

    bool start_map(std::uint32_t /*size*/) {
        if (slot_ == Slot::ignored) {
            ++ignored_depth_;
            return true;
        }
        switch (slot_) {
            case Slot::file:
            case Slot::branch:
            case Slot::table: break;
            case Slot::counter:
                total_.reset();
                points_.clear();
                break;
            default: unexpected("a map");
        }
        inside_.push_back(slot_);
        return true;
    }
    bool start_map_key() {
        if (ignored_depth_ == 0) {
            switch (inside_.back()) {
                case Slot::file: slot_ = Slot::file_field; break;
                case Slot::branch:
                    slot_ = Slot::key;
                    next_ = Slot::counter;
                    break;
                case Slot::counter: slot_ = Slot::counter_field; break;
                default:
                    slot_ = Slot::day;
                    next_ = Slot::value;
                    break;
            }
        }
        return true;
    }
    bool start_map_value() {
        if (ignored_depth_ == 0) {
            slot_ = next_;
        }
        return true;
    }
    bool end_map() {
        if (ignored_depth_ != 0) {
            --ignored_depth_;
            return true;
        }
        if (inside_.back() == Slot::counter) {
            finish_counter();
        }
        inside_.pop_back();
        return true;
    }

    bool start_array(std::uint32_t /*size*/) {
        if (slot_ == Slot::ignored) {
            ++ignored_depth_;
        } else if (slot_ == Slot::branches) {
            inside_.push_back(slot_);
            has_branches_ = true;
        } else {
            unexpected("an array");
        }
        return true;
    }
    bool start_array_item() {
        if (ignored_depth_ == 0) {
            slot_ = Slot::branch;
        }
        return true;
    }
    bool end_array() {
        if (ignored_depth_ != 0) {
            --ignored_depth_;
        } else {
            inside_.pop_back();
        }
        return true;
    }

    void parse_error(std::size_t /*parsed*/, std::size_t at) {
        throw CorruptionError("no MessagePack at byte " + std::to_string(at));
    }
    void insufficient_bytes(std::size_t /*parsed*/, std::size_t at) {
        throw CorruptionError("cut short at byte " + std::to_string(at));
    }

    /// After the last byte.
    void finish() {
        if (!has_branches_) {
            throw CorruptionError("the field branches is missing");
        }
        std::ranges::sort(keys_);
        if (const auto twice = std::ranges::adjacent_find(keys_); twice != keys_.end()) {
            throw CorruptionError("key " + std::to_string(*twice) + " is there twice");
        }
    }

private:
    /// What the next element is.
    enum class Slot : std::uint8_t {
        file,
        file_field,
        branches,
        branch_count,
        branch,
        key,
        counter,
        counter_field,
        table,
        day,
        value,
        total,
        ignored
    };

    static Slot file_field(std::string_view name) noexcept {
        if (name == "branches") {
            return Slot::branches;
        }
        return name == "branches_num" ? Slot::branch_count : Slot::ignored;
    }
    static Slot counter_field(std::string_view name) noexcept {
        if (name == "table") {
            return Slot::table;
        }
        return name == "total" ? Slot::total : Slot::ignored;
    }

    std::string place() const {
        return std::ranges::find(inside_, Slot::counter) != inside_.end()
                   ? "key " + std::to_string(key_) + ": "
                   : std::string();
    }
    [[noreturn]] void fail(const std::string& what) const { throw CorruptionError(place() + what); }
    [[noreturn]] void unexpected(const char* found) const {
        constexpr const char* names[] = {
            "the file",       "a field's name", "branches", "branches_num", "a branch", "a key",  "a counter",
            "a field's name", "table",          "a day",    "a value",      "total",    "a field"};
        fail(std::string(found) + " instead of " + names[static_cast<std::size_t>(slot_)]);
    }
    bool other(const char* found) const {
        if (slot_ != Slot::ignored) {
            unexpected(found);
        }
        return true;
    }

    std::uint64_t to_number(std::string_view text) const {
        std::uint64_t number = 0;
        const char* const end = text.data() + text.size();
        const auto read = std::from_chars(text.data(), end, number);
        if (read.ec != std::errc{} || read.ptr != end) {
            const auto is_shown = [](char c) { return c >= ' ' && c <= '~'; };
            fail(std::ranges::all_of(text, is_shown) ? "\"" + std::string(text) + "\" is no number"
                                                     : "a text that is no number");
        }
        return number;
    }

    Day to_day(std::uint64_t written) const {
        const std::optional<Day> day = day_from_yyyymmdd(written);
        if (!day) {
            fail(std::to_string(written) + " is no calendar day");
        }
        return *day;
    }

    void add_point(std::uint64_t value) {
        if (value != 0) {
            points_.push_back({day_, value});
        }
    }

    void finish_counter() {
        std::ranges::sort(points_, {}, &Point::day);
        const auto twice = std::ranges::adjacent_find(points_, {}, &Point::day);
        if (twice != points_.end()) {
            fail("day " + std::to_string(day_to_yyyymmdd(twice->day)) + " is there twice");
        }
        Uint128 sum = 0;
        for (const Point& point : points_) {
            sum += point.value;
        }
        if (sum > std::numeric_limits<std::uint64_t>::max()) {
            fail("the sum of its values is too large");
        }
        if (total_ && *total_ != sum) {
            fail("total is " + std::to_string(*total_) + ", the sum of its values " + to_decimal(sum));
        }
        keys_.push_back(key_);
        visit_(key_, points_);
    }

    const Visit& visit_;
    std::vector<Slot> inside_;  // maps and arrays that are open
    Slot slot_ = Slot::file;
    Slot next_ = Slot::ignored;
    std::size_t ignored_depth_ = 0;
    bool has_branches_ = false;
    std::uint64_t key_ = 0;
    Day day_ = 0;
    std::optional<std::uint64_t> total_;
    std::vector<Point> points_;
    std::vector<std::uint64_t> keys_;
};

}  // namespace

void read_tree(std::string_view bytes, const Visit& visit) {
    TreeVisitor visitor(visit);
    std::size_t at = 0;
    try {
        msgpack::parse(bytes.data(), bytes.size(), at, visitor);
    } catch (const msgpack::unpack_error& failure) {
        throw CorruptionError(std::string("no MessagePack: ") + failure.what());
    }
    if (at != bytes.size()) {
        throw CorruptionError("bytes behind the end, from byte " + std::to_string(at) + " on");
    }
    visitor.finish();
}

Series read_tree_series(std::string name, std::uint64_t hash_seed, Lsn lsn, std::string_view bytes) {
    Series series(std::move(name), hash_seed);
    read_tree(bytes, [&](std::uint64_t key, std::span<const Point> points) {
        if (points.empty()) {
            series.set(key, 1, 0);  // makes the key and nothing else
        }
        for (const Point& point : points) {
            series.set(key, point.day, point.value);
        }
    });
    series.set_last_lsn(lsn);
    return series;
}

}  // namespace karma
