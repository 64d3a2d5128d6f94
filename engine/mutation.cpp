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

std::string_view series_of(const Mutation& body) noexcept { return detail::series_in(body); }

std::string_view stream_of(const Mutation& body) noexcept { return detail::stream_in(body); }

}  // namespace karma
