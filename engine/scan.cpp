#include "engine/scan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "engine/error.h"

namespace karma {
namespace {

template <typename Visit>
void for_each_counter(const SeriesView& view, const Deadline& deadline, Visit&& visit) {
    for (const PageRef& page : view.pages()) {
        deadline.check();
        page->for_each(visit);
    }
}

std::uint64_t value_in(const Counter& counter, const std::optional<DayRange>& range) noexcept {
    return range ? counter.sum(*range) : counter.total();
}

/// Keeps the `limit` best items seen, the worst of them on top of the heap.
template <typename Item, typename Better>
class Best {
public:
    Best(std::size_t limit, Better better) : limit_(limit), better_(better) {}

    void offer(const Item& item) {
        if (items_.size() < limit_) {
            items_.push_back(item);
            std::push_heap(items_.begin(), items_.end(), better_);
        } else if (limit_ != 0 && better_(item, items_.front())) {
            std::pop_heap(items_.begin(), items_.end(), better_);
            items_.back() = item;
            std::push_heap(items_.begin(), items_.end(), better_);
        }
    }

    std::vector<Item> sorted() && {
        std::sort_heap(items_.begin(), items_.end(), better_);
        return std::move(items_);
    }

private:
    std::size_t limit_;
    Better better_;
    std::vector<Item> items_;
};

/// A sum for each day of the calendar, in blocks that are made when their first day has one: adding takes
/// constant time, and a few far days take little memory.
class DaySums {
public:
    void add(Day day, std::uint64_t value) {
        std::unique_ptr<Block>& block = blocks_[day / block_days];
        if (block == nullptr) {
            block = std::make_unique<Block>();
        }
        (*block)[day % block_days] += value;
    }

    /// Those above 0, by day: no bucket holds 0.
    std::vector<DayTotal> totals() const {
        std::vector<DayTotal> all;
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            for (Day at = 0; blocks_[i] != nullptr && at < block_days; ++at) {
                if (const Uint128 total = (*blocks_[i])[at]; total != 0) {
                    all.push_back({static_cast<Day>(i * block_days) + at, total});
                }
            }
        }
        return all;
    }

private:
    static constexpr Day block_days = 512;
    using Block = std::array<Uint128, block_days>;
    std::vector<std::unique_ptr<Block>> blocks_ =
        std::vector<std::unique_ptr<Block>>(max_day / block_days + 1);
};

Digest digest_of(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
    const std::uint64_t low = mix64(mix64(mix64(a) + b) + c);
    return {low, mix64(mix64(low ^ a) + mix64(b ^ 0x9e3779b97f4a7c15ULL) + c)};
}

}  // namespace

void Deadline::check() const {
    if (expired()) {
        if (is_cancelled()) {
            throw RequestError(ErrorCode::internal_error, "Cancelled: the daemon is stopping");
        }
        throw RequestError(ErrorCode::query_timeout, "Query took longer than allowed");
    }
}

Summary scan_summary(const SeriesView& view, const std::optional<DayRange>& range, const Deadline& deadline) {
    if (!range) {
        return {view.totals().total, view.totals().keys, view.totals().buckets};
    }
    Summary summary;
    for_each_counter(view, deadline, [&](Counter counter) {
        std::uint64_t buckets = 0;
        counter.for_each(*range, [&](Point point) {
            summary.total += point.value;
            ++buckets;
        });
        summary.buckets += buckets;
        summary.active_keys += buckets != 0 ? 1U : 0U;
    });
    return summary;
}

std::vector<KeyValue> scan_top(const SeriesView& view, std::size_t limit,
                               const std::optional<DayRange>& range, const Deadline& deadline) {
    const auto better = [](const KeyValue& a, const KeyValue& b) {
        return a.value != b.value ? a.value > b.value : a.key < b.key;
    };
    Best<KeyValue, decltype(better)> best(limit, better);
    for_each_counter(view, deadline, [&](Counter counter) {
        if (const std::uint64_t value = value_in(counter, range); value != 0) {
            best.offer({counter.key(), value});
        }
    });
    return std::move(best).sorted();
}

KeyPage scan_keys(const SeriesView& view, std::size_t limit, const std::optional<std::uint64_t>& cursor,
                  const Deadline& deadline) {
    const auto better = [](const KeyValue& a, const KeyValue& b) { return a.key < b.key; };
    Best<KeyValue, decltype(better)> best(limit, better);
    std::size_t above = 0;
    for_each_counter(view, deadline, [&](Counter counter) {
        if (!cursor || counter.key() > *cursor) {
            ++above;
            best.offer({counter.key(), counter.total()});
        }
    });
    KeyPage page{std::move(best).sorted(), std::nullopt};
    if (above > page.keys.size() && !page.keys.empty()) {
        page.next_cursor = page.keys.back().key;
    }
    return page;
}

std::vector<DayTotal> scan_totals(const SeriesView& view, const DayRange& range, const Deadline& deadline) {
    DaySums sums;
    for_each_counter(view, deadline, [&](Counter counter) {
        counter.for_each(range, [&](Point point) { sums.add(point.day, point.value); });
    });
    return sums.totals();
}

std::vector<std::uint64_t> scan_all_keys(const SeriesView& view, const Deadline& deadline) {
    std::vector<std::uint64_t> keys;
    keys.reserve(view.totals().keys);
    for_each_counter(view, deadline, [&](Counter counter) { keys.push_back(counter.key()); });
    std::ranges::sort(keys);
    return keys;
}

std::string Digest::text() const {
    char digits[33];
    std::snprintf(digits, sizeof digits, "%016llx%016llx", static_cast<unsigned long long>(high),
                  static_cast<unsigned long long>(low));
    return digits;
}

Digest scan_digest(const SeriesView& view, const Deadline& deadline) {
    const std::uint64_t name = hash_text(view.name(), 0);
    Digest digest = digest_of(name, hash_text(view.name(), 1), 0);
    for_each_counter(view, deadline, [&](Counter counter) {
        const std::uint64_t key = mix64(name + mix64(counter.key() ^ 0x5851f42d4c957f2dULL));
        digest += digest_of(name, counter.key(), 1);
        counter.for_each(DayRange{}, [&](Point point) { digest += digest_of(key, point.day, point.value); });
    });
    return digest;
}

}  // namespace karma
