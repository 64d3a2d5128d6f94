#include "engine/preflight.h"

#include <limits>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

namespace karma {
namespace {

constexpr std::uint64_t value_max = std::numeric_limits<std::uint64_t>::max();

Error overflow(std::uint64_t key) {
    return {ErrorCode::validation_error,
            "Field value is too large: the sum of key " + std::to_string(key) + " would pass 2^64-1"};
}

Uint128 sum_of(std::span<const mutation::Item> items) noexcept {
    Uint128 sum = 0;
    for (const mutation::Item& item : items) {
        sum += item.value;
    }
    return sum;
}

}  // namespace

bool certainly_fits(const Series* series, std::span<const mutation::Item> items) noexcept {
    return (series == nullptr ? 0 : series->totals().total) + sum_of(items) <= value_max;
}

std::optional<Error> check_increment(const Series* series, std::uint64_t key, std::uint64_t value) {
    if (series == nullptr || series->totals().total + value <= value_max) {
        return std::nullopt;
    }
    if (series->total(key) > value_max - value) {
        return overflow(key);
    }
    return std::nullopt;
}

std::optional<Error> check_batch_add(const Series* series, std::span<const mutation::Item> items) {
    if (certainly_fits(series, items)) {
        return std::nullopt;
    }
    // A bucket is never above its key's total, so the totals are all there is to check.
    std::unordered_map<std::uint64_t, std::uint64_t> totals;
    for (const mutation::Item& item : items) {
        const auto [entry, added] = totals.try_emplace(item.key, 0);
        if (added && series != nullptr) {
            entry->second = series->total(item.key);
        }
        if (entry->second > value_max - item.value) {
            return overflow(item.key);
        }
        entry->second += item.value;
    }
    return std::nullopt;
}

std::optional<Error> check_multi_add(const std::function<const Series*(std::string_view)>& find,
                                     const fact::DatedItems& items) {
    // A bucket is never above its key's total, so the totals are all there is to check.
    std::map<std::pair<std::string_view, std::uint64_t>, std::uint64_t> totals;
    for (const mutation::SeriesItem& item : items) {
        const auto [entry, added] = totals.try_emplace({item.series, item.key}, 0);
        if (const Series* const series = added ? find(item.series) : nullptr) {
            entry->second = series->total(item.key);
        }
        if (entry->second > value_max - item.value) {
            return overflow(item.key);
        }
        entry->second += item.value;
    }
    return std::nullopt;
}

std::optional<Error> check_batch_set(const Series* series, std::span<const mutation::Item> items) {
    if (certainly_fits(series, items)) {
        return std::nullopt;
    }
    std::map<std::pair<std::uint64_t, Day>, std::uint64_t> last;
    for (const mutation::Item& item : items) {
        last[{item.key, item.day}] = item.value;
    }
    std::unordered_map<std::uint64_t, Uint128> totals;
    for (const auto& [at, value] : last) {
        const auto [entry, added] = totals.try_emplace(at.first, 0);
        if (series != nullptr) {
            if (added) {
                entry->second = series->total(at.first);
            }
            entry->second -= series->value(at.first, at.second);
        }
        entry->second += value;
    }
    for (const auto& [key, total] : totals) {
        if (total > value_max) {
            return overflow(key);
        }
    }
    return std::nullopt;
}

}  // namespace karma
