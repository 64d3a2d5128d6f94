#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "engine/event_codec.h"
#include "engine/mutation_kinds.h"
#include "engine/resolve.h"
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
        return "mutation " + std::to_string(m.index()) + " " + std::visit(*this, m);
    }
    // The facts that it would be at times that no two periods share.
    template <ResolvedByClock M>
    std::string operator()(const M& m) const {
        std::string text;
        if constexpr (requires { m.shows_totals; }) {
            text = m.shows_totals ? "with totals " : "";
        }
        for (const std::int64_t now_ms : {1'777'939'200'000, 1'780'185'600'000, 1'798'761'600'000}) {
            EventGroupBuilder builder;
            builder.add({1, 0, resolve(m, now_ms), {}});
            std::string bytes;
            builder.finish(bytes);
            text += bytes;
        }
        return text;
    }
    template <OneOf<mutation::PruneRecords, mutation::PruneStreams> M>
    std::string operator()(const M& m) const {
        const std::optional<std::uint64_t> limit = m.limit;
        return std::to_string(m.before_unix) + (limit ? " " + std::to_string(*limit) : "");
    }
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
