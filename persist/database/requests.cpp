#include "persist/database/requests.h"

#include <algorithm>
#include <chrono>
#include <concepts>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "engine/error.h"
#include "engine/executor.h"
#include "engine/querier.h"
#include "persist/database/parts.h"
#include "persist/database/replication_tasks.h"
#include "persist/database_tasks.h"
#include "persist/export_tasks.h"
#include "persist/history_task.h"
#include "persist/preparations.h"
#include "persist/snapshot_tasks.h"
#include "persist/statistics.h"

namespace karma {
namespace {

/// The message has room in the text itself.
Outcome out_of_memory() { return {Reply(Error{ErrorCode::internal_error, "Out of memory"}), 0}; }

/// What is answered by a task, once the state up to `wait_lsn` is durable.
template <typename SomeTask, typename... Arguments>
Outcome later(Lsn wait_lsn, Arguments&&... arguments) {
    return {std::unique_ptr<Task>(std::make_unique<SomeTask>(std::forward<Arguments>(arguments)...)),
            wait_lsn};
}

/// Measures how long an ingest chunk takes.
class ChunkTimer {
public:
    ChunkTimer(bool is_chunk, Stats& stats) : stats_(is_chunk ? &stats : nullptr) {
        if (stats_ != nullptr) {
            begin_ = Clock::now();
        }
    }
    ChunkTimer(const ChunkTimer&) = delete;
    ChunkTimer& operator=(const ChunkTimer&) = delete;
    ~ChunkTimer() {
        if (stats_ != nullptr) {
            const auto ns = static_cast<std::uint64_t>((Clock::now() - begin_) / std::chrono::nanoseconds(1));
            Stats::add(stats_->ingest_ns, ns);
            stats_->ingest_last_chunk_ns.store(ns, std::memory_order_relaxed);
        }
    }

private:
    using Clock = std::chrono::steady_clock;

    Stats* stats_;
    Clock::time_point begin_;
};

/// Whether a request changes the state, or what is stored beside it for clients.
template <typename Body>
concept Writes = std::same_as<Body, Mutation> || std::same_as<Body, KeyedMutation> ||
    std::same_as<Body, control::SaveSnapshot> || std::same_as<Body, control::SaveAllSnapshots> ||
    std::same_as<Body, control::LoadSnapshot> || std::same_as<Body, control::ReportReconciliation>;

/// Answers one request, with the lock of the state. A kind of request that has no function does not compile.
class Answering {
public:
    Answering(DatabaseParts& parts, const Request& request, const PreparedMutation* prepared,
              std::int64_t now_ms)
        : parts_(parts), request_(request), prepared_(prepared), now_ms_(now_ms) {}

    // ---- what the engine answers

    Outcome operator()(const Mutation& /*body*/) const { return execute(); }
    Outcome operator()(const KeyedMutation& /*body*/) const { return execute(); }
    template <typename Query>
    requires std::is_invocable_v<Querier, const Query&> Outcome operator()(const Query& query) const {
        if constexpr (AskablePast<Query>) {
            if (query.as_of) {
                return ask_past(query);
            }
        }
        return execute();
    }

    // ---- what the database says of itself

    Outcome operator()(const query::Ping& /*q*/) const { return {Reply(reply::Pong{}), 0}; }
    Outcome operator()(const query::Health& /*q*/) const { return {Reply(parts_.status.health()), 0}; }
    Outcome operator()(const query::ReplicationStatus& q) const {
        return parts_.status.replication_status(q.page);
    }
    Outcome operator()(const query::Stats& /*q*/) const { return parts_.status.stats(); }
    Outcome operator()(const query::Metrics& /*q*/) const { return parts_.status.metrics(); }
    Outcome operator()(const query::Snapshots& q) const { return parts_.status.snapshot_names(q.page); }
    Outcome operator()(const query::SnapshotInfo& q) const { return parts_.status.snapshot_info(q.page); }
    Outcome operator()(const control::ReportReconciliation& report) const {
        count_reconciliation(report, static_cast<std::uint64_t>(now_ms_ / 1000), parts_.live.stats());
        return {Reply(reply::Ok{}), 0};
    }

    // ---- what tasks answer

    Outcome operator()(const query::LogEntries& q) const {
        return later<EntriesTask>(last_lsn(), parts_, q, last_lsn());
    }
    Outcome operator()(const query::Events& q) const {
        return later<EventsTask>(last_lsn(), parts_, q, last_lsn());
    }
    Outcome operator()(const query::VerifySnapshots& /*q*/) const { return later<VerifyTask>(0, parts_); }
    Outcome operator()(const query::FetchSnapshot& q) const { return later<FetchTask>(0, parts_, q); }
    Outcome operator()(const query::FetchRecords& q) const { return later<FetchRecordsTask>(0, parts_, q); }
    Outcome operator()(const query::BeginExport& q) const { return later<BeginExportTask>(0, parts_, q); }
    Outcome operator()(const query::FetchExport& q) const { return later<FetchExportTask>(0, parts_, q); }
    Outcome operator()(const query::EndExport& q) const {
        if (!parts_.files.exports.end(q.export_id)) {
            return {Reply(Error{ErrorCode::not_found,
                                "Export \"" + std::string(q.export_id) + "\" is not there (any more)"}),
                    0};
        }
        return {Reply(reply::Ok{}), 0};
    }
    Outcome operator()(const control::LoadSnapshot& load) const {
        return later<LoadTask>(0, parts_, std::string(load.file));
    }
    Outcome operator()(const control::SaveSnapshot& save) const {
        if (parts_.live.engine().find_series(save.series) == nullptr) {
            return {Reply(series_not_found(save.series)), last_lsn()};
        }
        return later<SnapshotTask>(last_lsn(), parts_.taker, std::string(save.series));
    }
    Outcome operator()(const control::SaveAllSnapshots& /*save*/) const {
        return later<SnapshotTask>(last_lsn(), parts_.taker, std::nullopt);
    }

    // ---- what replication answers

    Outcome operator()(const control::Subscribe& /*subscribe*/) const {
        return {Reply(Error{ErrorCode::replication_error, "Not on this connection"}), 0};
    }
    Outcome operator()(const query::HistoryPositionAt& q) const {
        return {replication_task(parts_, q), last_lsn()};
    }
    template <typename Asked>
    requires requires(DatabaseParts& parts, const Asked& asked) { replication_task(parts, asked); }
    Outcome operator()(const Asked& asked) const { return {replication_task(parts_, asked), 0}; }

private:
    Lsn last_lsn() const noexcept { return parts_.live.engine().last_lsn(); }

    Outcome execute() const {
        Engine& engine = parts_.live.engine();
        return prepared_ == nullptr ? engine.execute(request_, now_ms_)
                                    : engine.execute(request_, *prepared_, now_ms_);
    }

    template <typename Query>
    Outcome ask_past(const Query& query) const;

    DatabaseParts& parts_;
    const Request& request_;
    const PreparedMutation* prepared_;
    std::int64_t now_ms_;
};

template <typename Query>
Outcome Answering::ask_past(const Query& query) const {
    const Engine& engine = parts_.live.engine();
    const Lsn last_lsn = engine.last_lsn();
    const HistoryPoint& point = *query.as_of;
    constexpr HistoryPoint latest;
    if ((point.lsn != latest.lsn && point.lsn > last_lsn) ||
        (point.time_ms != latest.time_ms && point.begin_ms > std::max(now_ms_, engine.last_event_ms()))) {
        return {Reply(Error{ErrorCode::validation_error,
                            "Field as_of must not be in the future: the last event has LSN " +
                                std::to_string(last_lsn)}),
                last_lsn};
    }
    const Series* const series = engine.find_series(query.series);
    // Nothing has touched it since; what is not there is looked for in the past, but for the present.
    const bool is_unchanged = series != nullptr ? series->last_lsn() <= point.lsn : point.lsn >= last_lsn;
    if (point.time_ms == latest.time_ms && is_unchanged) {
        return Querier(engine, now_ms_)(query);
    }
    return later<HistoryTask<Query>>(last_lsn, parts_, query, last_lsn, now_ms_);
}

}  // namespace

void Requests::execute(std::span<const Request> requests, std::span<Outcome> outcomes) {
    LiveState& live = parts_.live;
    Engine& engine = live.engine();
    const DatabaseClock::Reading reading = live.clock().read();
    const std::int64_t now = reading.now_ms;
    // One for each thread that executes: what it makes borrows from itself.
    thread_local Preparations preparations;
    try {
        preparations.prepare(requests, live.hash_seed(), now);
    } catch (const std::bad_alloc&) {
        for (Outcome& outcome : outcomes) {
            outcome = out_of_memory();
        }
        return;
    }
    std::vector<std::unique_ptr<Series>> deferred;
    {
        const std::lock_guard lock(live.mutex());
        engine.limit_age(live.age().at(reading));
        for (std::size_t i = 0; i < requests.size(); ++i) {
            if (i % Engine::prefetch_max == 0 && requests.size() - i > 1) {
                engine.prefetch(requests.subspan(i));
            }
            try {
                const PreparedMutation* const prepared = preparations.next(requests[i], engine);
                const ChunkTimer timer(prepared != nullptr && std::holds_alternative<Mutation>(requests[i]),
                                       live.stats());
                outcomes[i] = execute_one(requests[i], prepared, now);
            } catch (const std::bad_alloc&) {
                outcomes[i] = not_executed();
            }
            count_outcome(requests[i], outcomes[i], live.stats());
            note_replicas(requests[i], outcomes[i]);
        }
        if (engine.has_deferred()) {
            deferred = engine.take_deferred();
        }
    }
    live.destroy(std::move(deferred));
}

/// What a request is told that memory did not suffice for.
Outcome Requests::not_executed() {
    try {
        return parts_.live.stop_if_half_changed() ? Outcome{Reply(log_failed()), 0} : out_of_memory();
    } catch (const std::bad_alloc&) {
        return out_of_memory();
    }
}

/// What a reply has to wait for where there are other nodes.
void Requests::note_replicas(const Request& request, Outcome& outcome) const {
    if (parts_.options.replication_min_acks != 0 &&
        (std::holds_alternative<Mutation>(request) || std::holds_alternative<KeyedMutation>(request))) {
        const auto* const reply = std::get_if<Reply>(&outcome.result);
        outcome.ack_lsn = reply != nullptr && std::holds_alternative<Error>(*reply) ? 0 : outcome.wait_lsn;
    }
    if (parts_.node.is_follower() && outcome.wait_lsn <= parts_.live.durable_lsn()) {
        // Another state may take the place of this one before anybody waits, with lower LSNs.
        outcome.wait_lsn = 0;
    }
}

/// Why this database does not execute a request that writes, if so.
std::optional<Error> Requests::refuse_write(const Request& request) const {
    if (parts_.live.has_failed()) {
        return log_failed();
    }
    if (const Role now = parts_.node.get(); now != Role::master) {
        return now == Role::slave
                   ? Error{ErrorCode::forbidden, "Slave role cannot execute commands that write"}
                   : Error{ErrorCode::replication_error, parts_.mastership.fenced_text()};
    }
    if (needs_records(request) && !parts_.live.has_records()) {
        return Error{ErrorCode::internal_error, "The idempotency records are still being read"};
    }
    if (needs_records(request) && !parts_.live.records_failure().empty()) {
        return Error{ErrorCode::internal_error,
                     "The idempotency records could not be read: " + parts_.live.records_failure()};
    }
    return std::nullopt;
}

Outcome Requests::execute_one(const Request& request, const PreparedMutation* prepared, std::int64_t now_ms) {
    return std::visit(
        [&](const auto& body) -> Outcome {
            if constexpr (Writes<std::decay_t<decltype(body)>>) {
                if (std::optional<Error> refused = refuse_write(request)) {
                    return {Reply(std::move(*refused)), 0};
                }
            }
            return Answering(parts_, request, prepared, now_ms)(body);
        },
        request);
}

Reply Requests::call(const Request& request) {
    if (needs_records(request)) {
        parts_.live.wait_for_records();
    }
    const std::uint64_t executed_in = parts_.node.generation();
    Outcome outcome;
    execute(std::span(&request, 1), std::span(&outcome, 1));
    parts_.live.commit();
    if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
        try {
            outcome.result = (*task)->run(NoDeadline());
        } catch (const RequestError& refused) {
            return Error{refused.code(), refused.what()};
        } catch (const std::exception& failure) {
            return Error{ErrorCode::internal_error, failure.what()};
        }
    }
    if (!parts_.live.wait_durable(outcome.wait_lsn)) {
        return log_failed();
    }
    const bool writes =
        std::holds_alternative<Mutation>(request) || std::holds_alternative<KeyedMutation>(request);
    const bool is_refused = std::holds_alternative<Error>(std::get<Reply>(outcome.result));
    try {
        if (writes && !is_refused) {
            parts_.live.wait_acked(outcome.ack_lsn, executed_in, NoDeadline());
        }
    } catch (const RequestError& not_sure) {
        return Error{not_sure.code(), not_sure.what()};
    }
    return std::move(std::get<Reply>(outcome.result));
}

}  // namespace karma
