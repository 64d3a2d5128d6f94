#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "engine/error.h"
#include "engine/fact.h"
#include "engine/series.h"

/// Whether a fact can follow: no bucket and no key's total may pass 2^64-1. Nothing is changed.
namespace karma {

/// Whether the sum of everything in the series and the items fits 64 bits. Then every key's total does,
/// whatever the items do, also on the way. `series` is null where it does not exist yet.
bool certainly_fits(const Series* series, std::span<const mutation::Item> items) noexcept;

/// `series` is null where it does not exist yet.
std::optional<Error> check_increment(const Series* series, std::uint64_t key, std::uint64_t value);
std::optional<Error> check_batch_add(const Series* series, std::span<const mutation::Item> items);
/// `find` gives the series of a name; null where it does not exist yet.
std::optional<Error> check_multi_add(const std::function<const Series*(std::string_view)>& find,
                                     const fact::DatedItems& items);
std::optional<Error> check_batch_set(const Series* series, std::span<const mutation::Item> items);

}  // namespace karma
