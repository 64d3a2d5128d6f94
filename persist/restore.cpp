#include "persist/restore.h"

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/log_search.h"

namespace karma {
namespace {

/// Events that are not there: how it is said depends on who asks.
struct Missing {
    Lsn first = 0;
    Lsn last = 0;
};

/// Applies the log after what the engine holds, as far as `until`, to where `wants` says so. False when the
/// log ends before that. Throws Missing.
template <typename Wants>
bool apply_log(Engine& engine, const Storage& storage, const Deadline& deadline, const HistoryPoint& until,
               Restored& restored, Wants&& wants) {
    Lsn expected = engine.last_lsn() + 1;
    bool is_done = false;
    storage.read_log(expected, [&](const EventGroup& group) {
        deadline.check();
        if (is_done || expected > until.lsn) {
            return false;
        }
        if (group.first_lsn > expected) {
            throw Missing{expected, group.first_lsn - 1};
        }
        const EventGroupInfo info = read_group(group, [&](const Event& event) {
            if (event.lsn != expected || is_done) {
                return;
            }
            is_done = !until.includes(event.lsn, event.time_ms);
            if (is_done) {
                return;
            }
            ++expected;
            restored.last_event_ms = event.time_ms;
            if (wants(event)) {
                engine.apply(event);
                ++restored.events;
            }
        });
        if (info.first_lsn != group.first_lsn || info.count != group.count) {
            throw CorruptionError("event log: the group at LSN " + std::to_string(group.first_lsn) +
                                  " does not hold the events that its key says");
        }
        return true;
    });
    engine.restore_last_lsn(expected - 1);
    engine.take_deferred();  // nobody waits yet
    return is_done;
}

/// A time as the LSN of the last event that is not later, where the log tells.
HistoryPoint resolved(const HistoryPoint& point, const Storage& storage, const SnapshotStore& snapshots) {
    if (point.time_ms == HistoryPoint().time_ms) {
        return point;
    }
    const Lsn last = last_lsn_until_time(storage, point.time_ms);
    if (last == 0) {
        return point;  // what is left of that time is in snapshots
    }
    bool is_known = last + 1 >= storage.next_lsn() && snapshots.known_lsn() <= last;
    storage.read_log(last + 1, [&](const EventGroup& group) {
        is_known = group.first_lsn <= last + 1;
        return false;
    });
    // Behind it events may be missing, of a time without a log.
    return is_known ? HistoryPoint::at_lsn(std::min(last, point.lsn)) : point;
}

/// Whether an event that names no series changes what the events of one series need.
struct ConcernsEachSeries {
    /// What a component applies concerns a series if the component does.
    template <AppliedByComponent M>
    bool operator()(const M& /*m*/) const {
        using Owner = std::remove_cvref_t<decltype(std::declval<Components&>().applying<M>())>;
        return Owner::is_needed_by_series;
    }
    bool operator()(const fact::PruneRecords& /*m*/) const { return IdempotencyIndex::is_needed_by_series; }
    template <typename M>
    bool operator()(const M& /*m*/) const {
        return true;
    }
};

std::string because_of(const std::vector<std::string>& damaged) {
    std::string text;
    for (const std::string& one : damaged) {
        text += (text.empty() ? " (needed because of: " : "; ") + one;
    }
    return text.empty() ? text : text + ")";
}

}  // namespace

EventGroupInfo read_group(const EventGroup& group, const std::function<void(const Event&)>& visit) {
    try {
        return read_event_group(group.bytes, visit);
    } catch (const CorruptionError& failure) {
        throw CorruptionError("event log, group at LSN " + std::to_string(group.first_lsn) + ": " +
                              failure.what());
    }
}

Restored restore_state(Engine& engine, const Storage& storage, const SnapshotStore& snapshots,
                       const Deadline& deadline, const HistoryPoint& point, Lsn newest) {
    const HistoryPoint until = resolved(point, storage, snapshots);
    Restored restored;
    SnapshotStore::Base base = snapshots.restore(engine, until, newest, deadline);
    restored.snapshot_lsn = base.lsn;
    restored.damaged = std::move(base.damaged);
    try {
        apply_log(engine, storage, deadline, until, restored, [](const Event&) { return true; });
    } catch (const Missing& missing) {
        throw CorruptionError("event log: the events from LSN " + std::to_string(missing.first) + " to " +
                              std::to_string(missing.last) + " are missing" + because_of(restored.damaged));
    }
    const Lsn known = snapshots.known_lsn();
    if (until == HistoryPoint() && engine.last_lsn() < known) {
        throw CorruptionError("the state at LSN " + std::to_string(known) +
                              " was stored and cannot be restored: what is sound reaches to LSN " +
                              std::to_string(engine.last_lsn()) + because_of(restored.damaged));
    }
    return restored;
}

Restored restore_series(Engine& engine, std::string_view series, const Storage& storage,
                        const SnapshotStore& snapshots, const Deadline& deadline, const HistoryPoint& point) {
    const HistoryPoint until = resolved(point, storage, snapshots);
    Restored restored;
    SnapshotStore::Base base = snapshots.restore_series(engine, series, until, deadline);
    restored.snapshot_lsn = base.lsn;
    restored.damaged = std::move(base.damaged);
    const auto concerns = [&](const Event& event) {
        const std::string_view of = series_of(event.body);
        return of == series || (of.empty() && std::visit(ConcernsEachSeries(), event.body));
    };
    try {
        const bool is_there = apply_log(engine, storage, deadline, until, restored, concerns);
        if (!is_there && engine.last_lsn() < until.lsn) {
            throw Missing{engine.last_lsn() + 1, until.lsn};  // there was no log then
        }
    } catch (const Missing& missing) {
        throw RequestError(ErrorCode::replication_gap,
                           "What is kept does not reach back so far: the events from LSN " +
                               std::to_string(missing.first) + " to " + std::to_string(missing.last) +
                               " are gone, and there is no snapshot between them and the point asked for");
    }
    return restored;
}

}  // namespace karma
