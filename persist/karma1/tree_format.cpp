#include "persist/karma1/tree_format.h"

#include <algorithm>
#include <limits>

#include <msgpack.hpp>

#include "engine/msgpack_bytes.h"

namespace karma {
namespace {

using namespace std::string_view_literals;

// A map of two, its first field an array of nine.
constexpr std::string_view head =
    "\x82\xA8"
    "branches"
    "\x99"sv;
constexpr std::string_view tail =
    "\xAC"
    "branches_num"
    "\x09"sv;

constexpr std::size_t name_bytes = 6;  // "table" and "total"

constexpr std::size_t size_of_number(std::uint64_t number) noexcept {
    if (number < 0x80) {
        return 1;
    }
    if (number <= 0xFF) {
        return 2;
    }
    if (number <= 0xFFFF) {
        return 3;
    }
    return number <= 0xFFFFFFFF ? 5 : 9;
}

constexpr std::size_t size_of_map_head(std::uint64_t size) noexcept {
    if (size < 16) {
        return 1;
    }
    return size <= 0xFFFF ? 3 : 5;
}

/// Days are written as 20260505: in five bytes from the year 7 on.
std::size_t size_of_day(Day day) noexcept {
    static const Day first_of_five = day_from_yyyymmdd(70'101).value();
    return day < first_of_five ? 3 : 5;
}

std::uint64_t size_of_entry(const Counter& counter) noexcept {
    std::uint64_t bytes = 0;
    std::uint64_t count = 0;
    std::uint64_t total = 0;
    counter.for_each(DayRange{}, [&](Point point) {
        bytes += size_of_day(point.day) + size_of_number(point.value);
        total += point.value;
        ++count;
    });
    return bytes + size_of_number(counter.key()) + 1 + name_bytes + size_of_map_head(count) + name_bytes +
           size_of_number(total);
}

/// Writes days as they are written in files; the next day mostly follows the last one.
class DayWriter {
public:
    std::uint32_t operator()(Day day) noexcept {
        constexpr std::uint32_t always_followed = 28;
        const bool follows = day == last_ + 1 && written_ % 100 < always_followed;
        written_ = follows ? written_ + 1 : day_to_yyyymmdd(day);
        last_ = day;
        return written_;
    }

private:
    Day last_ = std::numeric_limits<Day>::max() - 1;
    std::uint32_t written_ = 0;
};

void append_entries(const Page& page, std::size_t branch, std::string& out) {
    Appender appender{out};
    msgpack::packer<Appender> packer(appender);
    DayWriter written;
    page.for_each([&](Counter counter) {
        if (counter.key() % tree_branches != branch) {
            return;
        }
        packer.pack(counter.key());
        packer.pack_map(2);
        packer.pack("table");
        packer.pack_map(static_cast<std::uint32_t>(counter.buckets()));
        std::uint64_t total = 0;
        counter.for_each(DayRange{}, [&](Point point) {
            packer.pack(written(point.day));
            packer.pack(point.value);
            total += point.value;
        });
        packer.pack("total");
        packer.pack(total);
    });
}

}  // namespace

TreeStatistics& TreeStatistics::operator+=(const TreeStatistics& other) noexcept {
    bytes += other.bytes;
    for (std::size_t branch = 0; branch < tree_branches; ++branch) {
        keys[branch] += other.keys[branch];
    }
    return *this;
}

TreeStatistics tree_statistics(const Page& page) noexcept {
    TreeStatistics statistics;
    page.for_each([&](Counter counter) {
        statistics.bytes += size_of_entry(counter);
        ++statistics.keys[counter.key() % tree_branches];
    });
    return statistics;
}

std::uint64_t tree_file_bytes(const TreeStatistics& sum) noexcept {
    std::uint64_t bytes = head.size() + sum.bytes + tail.size();
    for (const std::uint32_t keys : sum.keys) {
        bytes += size_of_map_head(keys);
    }
    return bytes;
}

TreeLayout::TreeLayout(std::size_t pages, const PageSource& source)
    : pages_(pages), entries_at_(pages * tree_branches) {
    static_assert(tail.size() == tail_size);
    for (std::size_t number = 0; number < pages; ++number) {
        source(number)->for_each([&](Counter counter) {
            const std::size_t branch = counter.key() % tree_branches;
            ++keys_[branch];
            entries_at_[branch * pages_ + number] += size_of_entry(counter);
        });
    }
    std::uint64_t at = head.size();
    for (std::size_t branch = 0; branch < tree_branches; ++branch) {
        branch_at_[branch] = at;
        at += size_of_map_head(keys_[branch]);
        for (std::size_t number = 0; number < pages; ++number) {
            std::uint64_t& entries = entries_at_[branch * pages_ + number];
            at += std::exchange(entries, at);
        }
    }
    tail_at_ = at;
}

std::uint64_t TreeLayout::make_part(std::uint64_t at, const PageSource& source, std::string& part) const {
    if (at < head.size()) {
        part = head;
        return 0;
    }
    if (at >= tail_at_) {
        part = tail;
        return tail_at_;
    }
    const auto branch = static_cast<std::size_t>(std::upper_bound(branch_at_.begin(), branch_at_.end(), at) -
                                                 branch_at_.begin() - 1);
    if (at < branch_at_[branch] + size_of_map_head(keys_[branch])) {
        Appender appender{part};
        msgpack::packer<Appender>(appender).pack_map(keys_[branch]);
        return branch_at_[branch];
    }
    const auto first = entries_at_.begin() + static_cast<std::ptrdiff_t>(branch * pages_);
    const auto page = std::upper_bound(first, first + static_cast<std::ptrdiff_t>(pages_), at) - 1;
    append_entries(*source(static_cast<std::size_t>(page - first)), branch, part);
    return *page;
}

void TreeLayout::read(std::uint64_t offset, std::size_t count, const PageSource& source,
                      std::string& out) const {
    const std::uint64_t end =
        offset > size() ? offset : offset + std::min<std::uint64_t>(count, size() - offset);
    std::string part;
    while (offset < end) {
        part.clear();
        const std::uint64_t begin = make_part(offset, source, part);
        const std::string_view from = std::string_view(part).substr(offset - begin);
        const std::string_view taken = from.substr(0, end - offset);
        out.append(taken);
        offset += taken.size();
    }
}

void write_tree(std::size_t pages, const PageSource& source,
                const std::function<void(std::string_view)>& sink) {
    constexpr std::size_t piece = 1U << 20U;
    const TreeLayout layout(pages, source);
    std::string bytes;
    for (std::uint64_t at = 0; at < layout.size(); at += piece) {
        bytes.clear();
        layout.read(at, piece, source, bytes);
        sink(bytes);
    }
}

}  // namespace karma
