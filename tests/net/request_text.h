#pragma once

#include <optional>
#include <string>
#include <variant>

#include "engine/event_codec.h"
#include "net/op_table.h"

namespace karma::test {

inline std::string range_text(const std::optional<DayRange>& range) {
    return range ? std::to_string(range->from) + ".." + std::to_string(range->to) : "all";
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
        return "mutation " + std::to_string(m.index()) + bytes;
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
