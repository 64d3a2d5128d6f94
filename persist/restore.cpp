#include "persist/restore.h"

#include <string>

#include "engine/error.h"
#include "engine/event_codec.h"

namespace karma {

Restored restore_state(Engine& engine, const Storage& storage, const SnapshotStore& snapshots,
                       const Deadline& deadline, const HistoryPoint& until) {
    Restored restored;
    restored.snapshot_lsn = snapshots.restore(engine, until);
    Lsn expected = restored.snapshot_lsn + 1;
    bool is_done = false;
    storage.read_log(expected, [&](const EventGroup& group) {
        deadline.check();
        if (is_done || group.first_lsn > until.lsn) {
            return false;
        }
        if (group.first_lsn > expected) {
            throw CorruptionError("event log: the events from LSN " + std::to_string(expected) + " to " +
                                  std::to_string(group.first_lsn - 1) + " are missing");
        }
        const EventGroupInfo info = read_event_group(group.bytes, [&](const Event& event) {
            if (event.lsn != expected || is_done) {
                return;
            }
            is_done = !until.includes(event.lsn, event.time_ms);
            if (!is_done) {
                engine.apply(event);
                ++expected;
                ++restored.events;
            }
        });
        if (info.first_lsn != group.first_lsn || info.count != group.count) {
            throw CorruptionError("event log: the group at LSN " + std::to_string(group.first_lsn) +
                                  " does not hold the events that its key says");
        }
        return true;
    });
    engine.take_retired();  // nobody waits yet
    return restored;
}

}  // namespace karma
