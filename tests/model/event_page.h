#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/model/match.h"

namespace karma::test::model {

// What a page of events shows, beside the whole list that it may show.
struct EventPage {
    std::vector<std::pair<std::uint64_t, json::object>> all;
    std::uint64_t limit = 0;
    bool has_foreign = false;

    std::optional<std::string> check(const json::array& shown) const {
        if (shown.size() > limit) return "more entries than the limit";
        if (shown.size() > all.size())
            return "more entries than there are events: " + std::to_string(all.size());
        for (std::size_t i = 0; i < shown.size(); ++i) {
            const std::string at = "entry " + std::to_string(i);
            if (auto wrong = difference(all[i].first, member(shown[i], "lsn"), at + ".lsn")) return wrong;
            if (all[i].second.empty()) continue;
            if (auto wrong = difference(all[i].second, member(shown[i], "entry"), at + ".entry"))
                return wrong;
        }
        return std::nullopt;
    }
    bool is_whole(std::size_t count) const { return count == std::min<std::size_t>(limit, all.size()); }
};

}  // namespace karma::test::model
