#include "engine/decide.h"

#include <algorithm>
#include <concepts>
#include <optional>
#include <set>
#include <utility>

#include "engine/check.h"
#include "engine/mutation_kinds.h"
#include "engine/resolve.h"

namespace karma {

/// One overload for each kind of command: a kind that is forgotten does not compile. Each makes the fact that
/// the command would be and has it checked; or it has an answer already.
class Decider {
public:
    Decider(const Engine& engine, const PreparedMutation* prepared, std::int64_t now_ms, FactMemory& memory,
            Fact& fact)
        : engine_(engine), prepared_(prepared), now_ms_(now_ms), memory_(memory), fact_(fact) {}

    template <ResolvedByClock M>
    std::optional<Outcome> operator()(const M& m) const {
        return take(m, resolve(m, now_ms_));
    }
    std::optional<Outcome> operator()(const mutation::AddChunk& m) const {
        return take(m, fact::AddChunk{m.stream_id, m.series, m.chunk_seq, m.items, prepared_->fingerprint});
    }
    std::optional<Outcome> operator()(const mutation::PruneRecords& m) const {
        fact::PruneRecords fact{m.before_unix, m.limit};
        if (m.limit) {
            fact.below_lsn = engine_.idempotency().end_of_oldest(
                m.before_unix, *m.limit, engine_.records_unix(engine_.event_time(now_ms_)));
        }
        return take(m, fact);
    }
    /// What a component decides.
    template <DecidedByComponent M>
    std::optional<Outcome> operator()(const M& m) const {
        auto decided = engine_.components_->deciding<M>().decide(m, memory_);
        if (auto* const answer = std::get_if<Reply>(&decided)) {
            return Outcome{std::move(*answer), wait_lsn(m)};
        }
        return take(m, std::get<0>(decided));
    }

private:
    /// Takes the fact of a command, unless the state refuses it or there is no room for what it would make.
    template <typename M, typename F>
    std::optional<Outcome> take(const M& m, const F& made) const {
        static_assert(!CheckedByComponent<F> || std::same_as<M, F> || DecidedByComponent<M>,
                      "the component has to say for what the answer waits");
        const F& fact = fact_.emplace<F>(made);
        if (std::optional<Reply> known = FactChecker(engine_)(fact)) {
            return Outcome{std::move(*known), wait_lsn(m)};
        }
        return check_room(fact);
    }

    /// The LSN that the answer to a command waits for which becomes no event: it shows what the state is.
    template <typename M>
    Lsn wait_lsn(const M& m) const noexcept {
        Lsn lsn = 0;
        if constexpr (requires { m.series; }) {
            lsn = engine_.wait_lsn(m.series);
        } else if constexpr (std::same_as<M, mutation::MultiAdd>) {
            for (const mutation::SeriesItem& item : m.items) {
                lsn = std::max(lsn, engine_.wait_lsn(item.series));
            }
        }
        if constexpr (CheckedByComponent<M>) {
            lsn = std::max(lsn, engine_.components_->checking<M>().wait_lsn(m));
        } else if constexpr (DecidedByComponent<M>) {
            lsn = std::max(lsn, engine_.components_->deciding<M>().wait_lsn(m));
        } else if constexpr (requires { m.stream_id; }) {
            lsn = std::max(lsn, engine_.streams().wait_lsn(m.stream_id));
        }
        return lsn;
    }

    template <typename F>
    std::optional<Outcome> check_room(const F& fact) const {
        if constexpr (OneOf<F, fact::BeginStream, fact::AddChunk>) {
            if (std::optional<Outcome> refused = check_stream_room(fact.stream_id)) {
                return refused;
            }
        }
        if (engine_.series_max_ == 0) {
            return std::nullopt;
        }
        return check_series_room(first_without_room(fact));
    }

    /// The first series that a fact would make for which there is no room; empty where there is for all.
    template <typename F>
    std::string_view first_without_room(const F& fact) const {
        if constexpr (requires { fact.series; }) {
            return has_room_for(fact.series) ? std::string_view() : fact.series;
        } else {
            return {};
        }
    }
    /// Nothing to set creates no series.
    std::string_view first_without_room(const fact::BatchSet& fact) const {
        return fact.items.empty() || has_room_for(fact.series) ? std::string_view() : fact.series;
    }
    std::string_view first_without_room(const fact::MultiAdd& fact) const;
    bool has_room_for(std::string_view series) const noexcept {
        return engine_.series_count() < engine_.series_max_ || engine_.find_series(series) != nullptr;
    }
    std::optional<Outcome> check_series_room(std::string_view without_room) const;
    std::optional<Outcome> check_stream_room(std::string_view stream_id) const;

    const Engine& engine_;
    const PreparedMutation* prepared_;
    std::int64_t now_ms_;
    FactMemory& memory_;
    Fact& fact_;
};

std::string_view Decider::first_without_room(const fact::MultiAdd& fact) const {
    std::set<std::string_view> made;
    for (const mutation::SeriesItem& item : fact.items) {
        if (engine_.find_series(item.series) == nullptr && made.insert(item.series).second &&
            engine_.series_count() + made.size() > engine_.series_max_) {
            return item.series;
        }
    }
    return {};
}

/// Why a fact that is fine otherwise has no room for the series that it would make.
std::optional<Outcome> Decider::check_series_room(std::string_view without_room) const {
    if (without_room.empty()) {
        return std::nullopt;
    }
    return Outcome{
        Reply(Error{ErrorCode::resource_exhausted,
                    "Tree \"" + std::string(without_room) + "\" would be a new one, and there are " +
                        std::to_string(engine_.series_count()) + " already (--max-series): drop some first"}),
        engine_.catalog_lsn_};
}

/// The same for what would be remembered of an ingest stream. Loads of snapshots are forgotten at their end.
std::optional<Outcome> Decider::check_stream_room(std::string_view stream_id) const {
    if (engine_.streams_max_ == 0 || engine_.streams().weight() < engine_.streams_max_ ||
        stream_id.starts_with(load_stream_prefix)) {
        return std::nullopt;
    }
    return Outcome{Reply(Error{ErrorCode::resource_exhausted,
                               "As many ingest streams and chunks are remembered as may be "
                               "(--max-ingest-streams). Forget committed ones that no client sends again "
                               "(ingest.prune), or raise the limit"}),
                   engine_.streams().lsn()};
}

namespace {

/// What a repeat can have of the response that its request does not show.
struct Again {
    const IdempotencyIndex::Record& first;

    Reply operator()(const mutation::Increment& m) const { return reply::Number{m.value}; }
    Reply operator()(const mutation::Decrement& m) const { return reply::Number{m.value}; }
    Reply operator()(const mutation::BatchAdd& m) const {
        Uint128 total = 0;
        for (const mutation::Item& item : m.items) {
            total += item.value;
        }
        return reply::Added{m.items.size(), total};
    }
    Reply operator()(const mutation::BatchSet& m) const { return reply::Applied{m.items.size()}; }
    Reply operator()(const mutation::MultiAdd& m) const { return reply::Applied{m.items.size()}; }
    Reply operator()(const mutation::BatchReset&) const {
        return reply::BatchResetDone{first.first_count, first.second_count};
    }
    Reply operator()(const mutation::BatchDeleteRange&) const {
        return reply::BatchDeleted{first.first_count, first.second_count};
    }
    Reply operator()(const mutation::DeleteCounterRange&) const { return reply::Deleted{}; }
    Reply operator()(const mutation::DeleteSeriesRange&) const { return reply::Deleted{}; }
    Reply operator()(const mutation::ResetCounter&) const { return reply::Ok{}; }
    Reply operator()(const mutation::ResetSeries&) const { return reply::Ok{}; }
    Reply operator()(const mutation::BeginStream&) const { return reply::Ok{}; }
    Reply operator()(const mutation::AddChunk&) const { return reply::Ok{}; }
    template <Unkeyed M>
    Reply operator()(const M&) const {
        return reply::Ok{};
    }
};

}  // namespace

std::optional<Outcome> decide(const Engine& engine, const Mutation& command, const PreparedMutation* prepared,
                              std::int64_t now_ms, FactMemory& memory, Fact& fact) {
    return std::visit(Decider(engine, prepared, now_ms, memory, fact), command);
}

Reply reply_again(const Mutation& command, const IdempotencyIndex::Record& first) {
    return std::visit(Again{first}, command);
}

}  // namespace karma
