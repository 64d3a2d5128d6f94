#include "persist/log_search.h"

#include <optional>

#include "engine/event_codec.h"

namespace karma {
namespace {

struct Start {
    Lsn first_lsn = 0;
    Lsn next_lsn = 0;  // of the group behind it
    std::int64_t time_ms = 0;
};

/// The group that holds an event, or the next one behind it.
std::optional<Start> group_at(const Storage& storage, Lsn lsn) {
    std::optional<Start> start;
    storage.read_log(lsn, [&](const EventGroup& group) {
        start = Start{group.first_lsn, group.first_lsn + group.count, 0};
        read_event_group(group.bytes, [&](const Event& event) {
            if (event.lsn == group.first_lsn) {
                start->time_ms = event.time_ms;
            }
        });
        return false;
    });
    return start;
}

}  // namespace

Lsn first_kept_lsn(const Storage& storage) {
    Lsn first = 0;
    storage.read_log(0, [&](const EventGroup& group) {
        first = group.first_lsn;
        return false;
    });
    return first;
}

Lsn first_lsn_from_time(const Storage& storage, std::int64_t time_ms) {
    Lsn low = first_kept_lsn(storage);
    Lsn high = storage.next_lsn();
    if (low == 0) {
        return high;
    }
    // The groups that begin below `found` begin before the time; those from `high` on do not.
    Lsn found = low;
    while (low < high) {
        const std::optional<Start> start = group_at(storage, low + (high - low) / 2);
        if (start && start->time_ms < time_ms) {
            found = start->first_lsn;
            low = start->next_lsn;
        } else {
            high = low + (high - low) / 2;
        }
    }
    return found;
}

}  // namespace karma
