#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/querier.h"
#include "engine/reply.h"
#include "engine/request.h"
#include "persist/database/parts.h"

namespace karma {

/// Puts a series into an empty engine as it was at a point of the past, not after `last_lsn`. Without the
/// lock; throws RequestError where what is kept does not reach back so far.
std::optional<Error> rebuild_series(Engine& past, DatabaseParts& parts, std::string_view series,
                                    const HistoryPoint& point, Lsn last_lsn, const Deadline& deadline);

/// Answers a query as of a point from the nearest snapshot and the events after it.
template <typename Query>
class HistoryTask final : public Task {
public:
    /// `now_ms`: when it is asked. Periods such as the last 30 days end there, or at the time that it asks
    /// about.
    HistoryTask(DatabaseParts& parts, const Query& query, Lsn last_lsn, std::int64_t now_ms)
        : parts_(parts), query_(query), last_lsn_(last_lsn), now_ms_(now_ms), series_(query.series) {
        query_.series = series_;
        if constexpr (std::is_same_v<Query, query::BatchSum>) {
            keys_.assign(query.keys.begin(), query.keys.end());
            query_.keys = keys_;
        }
    }

    TaskKind kind() const override { return TaskKind::query; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }

    Reply run(const Deadline& deadline) override {
        NullSink sink;
        Engine past(parts_.live.hash_seed(), sink);
        if (std::optional<Error> failed =
                rebuild_series(past, parts_, query_.series, *query_.as_of, last_lsn_, deadline)) {
            return std::move(*failed);
        }
        Outcome outcome = Querier(past, std::min(now_ms_, query_.as_of->time_ms))(query_);
        if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
            return (*task)->run(deadline);
        }
        return std::move(std::get<Reply>(outcome.result));
    }

private:
    DatabaseParts& parts_;
    Query query_;
    Lsn last_lsn_;
    std::int64_t now_ms_;
    std::string series_;
    std::vector<std::uint64_t> keys_;
};

/// Whether a query can be asked as of a point.
template <typename Query>
concept AskablePast = requires(const Query& query) {
    { query.as_of } -> std::convertible_to<std::optional<HistoryPoint>>;
};

}  // namespace karma
