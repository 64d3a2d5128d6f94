#include "engine/mutation.h"

#include <algorithm>

namespace karma {

std::string_view ingest_mode_name(IngestMode mode) noexcept {
    switch (mode) {
        case IngestMode::add: return "add";
        case IngestMode::set: return "set";
        case IngestMode::replace_series: return "replace_series";
    }
    return {};
}

std::optional<IngestMode> ingest_mode_from_name(std::string_view name) noexcept {
    for (const IngestMode mode : {IngestMode::add, IngestMode::set, IngestMode::replace_series}) {
        if (name == ingest_mode_name(mode)) {
            return mode;
        }
    }
    return std::nullopt;
}

std::string_view series_of(const Mutation& body) noexcept {
    return std::visit(
        [](const auto& m) -> std::string_view {
            if constexpr (requires { m.series; }) {
                return m.series;
            } else {
                return {};
            }
        },
        body);
}

bool names_series(const Mutation& body, std::string_view series) noexcept {
    if (const auto* const multi = std::get_if<mutation::MultiAdd>(&body)) {
        return std::ranges::any_of(multi->items,
                                   [&](const mutation::SeriesItem& item) { return item.series == series; });
    }
    const std::string_view of = series_of(body);
    return !of.empty() && of == series;
}

std::string_view stream_of(const Mutation& body) noexcept {
    return std::visit(
        [](const auto& m) -> std::string_view {
            if constexpr (requires { m.stream_id; }) {
                return m.stream_id;
            } else {
                return {};
            }
        },
        body);
}

}  // namespace karma
