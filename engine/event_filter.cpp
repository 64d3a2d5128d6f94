#include "engine/event_filter.h"

#include <algorithm>
#include <type_traits>

namespace karma {
namespace {

/// Whether a fact that concerns a series concerns a key of it.
template <typename Body>
bool concerns_key(const Body& body, std::uint64_t key) {
    // The items of a MultiAdd are looked at with their series.
    constexpr bool is_of_several = std::is_same_v<Body, fact::MultiAdd>;
    if constexpr (requires { body.key; }) {
        return body.key == key;
    } else if constexpr (!is_of_several && requires { body.items; }) {
        return std::ranges::find(body.items, key, &mutation::Item::key) != body.items.end();
    } else if constexpr (requires { body.keys; }) {
        return std::ranges::find(body.keys, key) != body.keys.end();
    } else {
        return true;
    }
}

}  // namespace

bool EventFilter::matches(const Event& event) const {
    if (event.time_ms < from_ms || event.time_ms > to_ms) {
        return false;
    }
    const bool concerns_all = std::holds_alternative<fact::CompactAll>(event.body);
    if (series && !names_series(event.body, *series) && !concerns_all) {
        return false;
    }
    if (const auto* const multi = std::get_if<fact::MultiAdd>(&event.body)) {
        return !key || std::ranges::any_of(multi->items, [&](const mutation::SeriesItem& item) {
            return item.series == *series && item.key == *key;
        });
    }
    return !key || concerns_all ||
           std::visit([&](const auto& body) { return concerns_key(body, *key); }, event.body);
}

}  // namespace karma
