#include "persist/database_tasks.h"

#include "engine/error.h"
#include "persist/log_search.h"
#include "persist/restore.h"

namespace karma {

Reply SnapshotTask::run(const Deadline& deadline) { return taker_.store(series_, deadline); }

Reply EntriesTask::run(const Deadline& deadline) {
    constexpr std::size_t bytes_max = 64U << 20U;  // more than a reply should have
    reply::LogEntries entries{
        query_.after_lsn, query_.limit, source_lsn_, {}, false, query_.shows_idempotency_keys};
    if (query_.after_lsn >= source_lsn_) {
        return entries;
    }
    if (!parts_.live.wait_durable(source_lsn_)) {
        return log_failed();
    }
    const auto kept = parts_.snapshots.keep_state();
    Lsn expected = query_.after_lsn + 1;
    std::size_t bytes = 0;
    parts_.storage.read_log(expected, [&](const EventGroup& group) {
        deadline.check();
        if (group.first_lsn > expected) {
            return false;  // a gap
        }
        if (bytes > bytes_max) {
            entries.truncated = true;
            return false;
        }
        bytes += group.bytes.size();
        entries.groups.emplace_back(group.bytes);
        expected = group.first_lsn + group.count;
        return expected <= source_lsn_ && expected - 1 - query_.after_lsn < query_.limit;
    });
    // What follows a gap is asked for again, and then refused.
    return entries.groups.empty() ? Reply(events_gone(query_.after_lsn)) : Reply(std::move(entries));
}

EventsTask::EventsTask(DatabaseParts& parts, const query::Events& query, Lsn last_lsn)
    : parts_(parts),
      after_lsn_(query.after_lsn),
      limit_(query.limit),
      wait_(query.wait),
      last_lsn_(last_lsn),
      shows_idempotency_keys_(query.shows_idempotency_keys) {
    if (query.series) {
        filter_.series = *query.series;
    }
    filter_.key = query.key;
    filter_.from_ms = query.from_ms.value_or(filter_.from_ms);
    filter_.to_ms = query.to_ms.value_or(filter_.to_ms);
}

std::optional<EventWait> EventsTask::event_wait() const {
    if (wait_.count() == 0 || !parts_.live.has_log()) {
        return std::nullopt;
    }
    return EventWait{after_lsn_.value_or(0), wait_};
}

Reply EventsTask::run(const Deadline& deadline) {
    if (event_wait()) {
        last_lsn_ = std::max(last_lsn_, parts_.live.durable_lsn());  // of what came meanwhile
    }
    if (!parts_.live.wait_durable(last_lsn_)) {
        return log_failed();
    }
    const auto kept = parts_.snapshots.keep_state();
    Reply found = search_events(parts_.storage, filter_, after_lsn_, limit_, last_lsn_, deadline);
    if (auto* const events = std::get_if<reply::Events>(&found)) {
        events->shows_idempotency_keys = shows_idempotency_keys_;
    }
    return found;
}

Reply VerifyTask::run(const Deadline& deadline) {
    const auto kept = parts_.snapshots.keep_all();
    const StateView live = parts_.live.view();
    if (!parts_.live.wait_durable(live.lsn)) {
        return log_failed();
    }
    if (const std::vector<std::string> damage = parts_.snapshots.check_newest(deadline); !damage.empty()) {
        return Error{ErrorCode::internal_error, damage.front()};
    }
    NullSink sink;
    Engine rebuilt(parts_.live.hash_seed(), sink);
    const Restored restored =
        restore_state(rebuilt, parts_.storage, parts_.snapshots, deadline, HistoryPoint::at_lsn(live.lsn));
    reply::Verified verified;
    for (const SnapshotStore::ManifestRef& manifest : parts_.snapshots.manifests()) {
        verified.snapshots += manifest->series.size();
    }
    verified.series = rebuilt.series_count();
    verified.keys = rebuilt.key_count();
    verified.snapshot_lsn = restored.snapshot_lsn;
    verified.events = restored.events;
    verified.last_lsn = rebuilt.last_lsn();
    const Digest digest = rebuilt.view().digest(deadline);
    verified.digest = digest.text();
    // Without a log only what the snapshots hold can be read back.
    const bool comparable = parts_.live.has_log() || rebuilt.last_lsn() == live.lsn;
    if (!restored.damaged.empty()) {
        return Error{ErrorCode::internal_error, restored.damaged.front()};
    }
    const Digest live_digest = live.digest(deadline);
    if (comparable && rebuilt.last_lsn() == live.lsn && rebuilt.epochs() != live.of<EpochHistory>().epochs) {
        return Error{ErrorCode::internal_error, "What is stored has other epochs than the live state"};
    }
    if (comparable && (rebuilt.last_lsn() != live.lsn || !(digest == live_digest))) {
        return Error{ErrorCode::internal_error,
                     "What is stored gives another state than the live one: digest " + verified.digest +
                         " at LSN " + std::to_string(rebuilt.last_lsn()) + ", live " + live_digest.text() +
                         " at LSN " + std::to_string(live.lsn)};
    }
    return verified;
}

}  // namespace karma
