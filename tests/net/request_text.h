#pragma once

#include <optional>
#include <string>
#include <variant>

#include "engine/event_codec.h"
#include "net/op_table.h"

namespace karma::test {

// What it stands for on three days, which no two periods share.
inline std::string range_text(const std::optional<Period>& range) {
    std::string text = range ? "" : "all";
    for (const std::uint64_t day : {2026'05'05U, 2026'05'31U, 2027'01'01U}) {
        if (range) {
            const DayRange days = range->on(*day_from_yyyymmdd(day));
            text += std::to_string(days.from) + ".." + std::to_string(days.to) + " ";
        }
    }
    return text;
}

// A text that two requests of the kinds that the fast decoder makes share exactly when they ask for the same.
struct RequestText {
    std::string operator()(const Mutation& m) const {
        if (const auto* const chunk = std::get_if<mutation::AddChunk>(&m)) {
            return (*this)(*chunk);
        }
        EventGroupBuilder builder;
        builder.add({1, 0, m, {}});
        std::string bytes;
        builder.finish(bytes);
        const bool shows_totals = std::visit(
            [](const auto& body) {
                if constexpr (requires { body.shows_totals; }) {
                    return body.shows_totals;
                }
                return false;
            },
            m);
        return "mutation " + std::to_string(m.index()) + (shows_totals ? " with totals " : " ") + bytes;
    }
    // It is no event before it has its fingerprint.
    std::string operator()(const mutation::AddChunk& m) const {
        std::string text = "chunk " + std::to_string(m.chunk_seq) + " of " + std::string(m.stream_id) +
                           " to " + std::string(m.series);
        for (const mutation::Item& item : m.items) {
            text.append(" ").append(std::to_string(item.key)).append(",").append(std::to_string(item.day));
            text.append(",").append(std::to_string(item.value));
        }
        return text;
    }
    std::string operator()(const KeyedMutation& m) const {
        return "key " + std::string(m.key) + " " + std::string(m.fingerprint) + " " + (*this)(*m.body);
    }
    std::string operator()(const query::Sum& q) const {
        return "sum " + std::string(q.series) + " " + std::to_string(q.key) + " " + range_text(q.range);
    }
    std::string operator()(const query::Points& q) const {
        return "points " + std::string(q.series) + " " + std::to_string(q.key) + " " + range_text(q.range);
    }
    std::string operator()(const query::BatchSum& q) const {
        std::string text = "batch_sum " + std::string(q.series) + " " + range_text(q.range);
        for (const std::uint64_t key : q.keys) {
            text += " " + std::to_string(key);
        }
        return text;
    }
    template <typename Other>
    std::string operator()(const Other&) const {
        return "a request that the fast decoder does not make";
    }
};

// The same of a request line that was decoded, or of its refusal.
inline std::string describe(const net::Decoded& decoded) {
    if (const auto* const error = std::get_if<Error>(&decoded)) {
        return "error " + std::string(error_code_name(error->code));
    }
    return std::visit(RequestText{}, std::get<Request>(decoded));
}

}  // namespace karma::test
