#include "engine/fact.h"

#include <algorithm>

namespace karma {

std::string_view series_of(const Fact& fact) noexcept { return detail::series_in(fact); }

bool names_series(const Fact& fact, std::string_view series) noexcept {
    if (const auto* const multi = std::get_if<fact::MultiAdd>(&fact)) {
        return std::ranges::any_of(multi->items,
                                   [&](const mutation::SeriesItem& item) { return item.series == series; });
    }
    const std::string_view of = series_of(fact);
    return !of.empty() && of == series;
}

std::string_view stream_of(const Fact& fact) noexcept { return detail::stream_in(fact); }

}  // namespace karma
