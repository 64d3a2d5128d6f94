#include "persist/log_search.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "persist/meta_numbers.h"

namespace karma {
namespace {

constexpr const char* unbroken_key = "unbroken_lsn";
constexpr const char* ordered_key = "ordered_lsn";

/// The first group from an LSN on; that it begins before it is no matter of a hole.
Lsn first_from(const EventLog& log, Lsn lsn) {
    Lsn first = 0;
    log.read_log(lsn, [&](const EventGroup& group) {
        first = group.first_lsn;
        return false;
    });
    return first;
}

struct Start {
    Lsn first_lsn = 0;
    Lsn next_lsn = 0;  // of the group behind it
    std::int64_t time_ms = 0;
};

/// The group that holds an event, or the next one behind it.
std::optional<Start> group_at(const EventLog& log, Lsn lsn) {
    std::optional<Start> start;
    log.read_log(lsn, [&](const EventGroup& group) {
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

Lsn read_unbroken_lsn(const RecordTables& tables) {
    return read_meta_number(tables, unbroken_key).value_or(0);
}

Lsn first_kept_lsn(const Storage& storage) { return first_from(storage, read_unbroken_lsn(storage)); }

Lsn first_stored_lsn(const EventLog& log) { return first_from(log, 0); }

void skip_log_to(Storage& storage, Lsn lsn) {
    if (lsn <= storage.next_lsn()) {
        return;
    }
    const RecordChange change = meta_numbers_change(unbroken_key, {lsn});
    storage.write(std::span(&change, 1), true);
    storage.skip_to(lsn);
}

void ensure_unbroken_lsn(Storage& storage) {
    if (storage.read(Table::meta, unbroken_key)) {
        return;
    }
    Lsn unbroken = 0;
    Lsn expected = 0;
    storage.read_log(0, [&](const EventGroup& group) {
        if (group.first_lsn != expected) {
            unbroken = group.first_lsn;
        }
        expected = group.first_lsn + group.count;
        return true;
    });
    // Another state may have taken the place of this one meanwhile, and recorded where its log begins.
    if (!storage.read(Table::meta, unbroken_key)) {
        const RecordChange change = meta_numbers_change(unbroken_key, {unbroken});
        storage.write(std::span(&change, 1), false);
    }
}

Lsn read_ordered_lsn(const RecordTables& tables) {
    return read_meta_number(tables, ordered_key).value_or(std::numeric_limits<Lsn>::max());
}

RecordChange ordered_lsn_change(Lsn lsn) { return meta_numbers_change(ordered_key, {lsn}); }

bool has_ordered_lsn(const RecordTables& tables) { return tables.read(Table::meta, ordered_key).has_value(); }

Lsn find_ordered_lsn(const EventLog& log, const Deadline& deadline) {
    Lsn ordered = 0;
    std::int64_t before_ms = std::numeric_limits<std::int64_t>::min();
    log.read_log(0, [&](const EventGroup& group) {
        deadline.check();
        read_event_group(group.bytes, [&](const Event& event) {
            if (event.time_ms < before_ms) {
                ordered = event.lsn;
            }
            before_ms = event.time_ms;
        });
        return true;
    });
    return ordered;
}

namespace {

/// As first_lsn_from_time, in the events from `low` on, whose times do not decrease.
Lsn search_ordered(const EventLog& log, Lsn low, std::int64_t time_ms) {
    Lsn high = log.next_lsn();
    // The groups that begin below `found` begin before the time; those from `high` on do not.
    Lsn found = low;
    while (low < high) {
        const std::optional<Start> start = group_at(log, low + (high - low) / 2);
        if (start && start->time_ms < time_ms) {
            found = start->first_lsn;
            low = start->next_lsn;
        } else {
            high = low + (high - low) / 2;
        }
    }
    return found;
}

/// Calls `visit` for each event below an LSN, until it returns false.
void visit_events_below(const EventLog& log, Lsn end, const std::function<bool(const Event&)>& visit) {
    log.read_log(0, [&](const EventGroup& group) {
        bool goes_on = group.first_lsn < end;
        if (goes_on) {
            read_event_group(group.bytes, [&](const Event& event) {
                goes_on = goes_on && event.lsn < end && visit(event);
            });
        }
        return goes_on;
    });
}

}  // namespace

Lsn first_lsn_from_time(const Storage& storage, std::int64_t time_ms) {
    const Lsn first = first_stored_lsn(storage);
    if (first == 0) {
        return storage.next_lsn();
    }
    const Lsn ordered = std::min(read_ordered_lsn(storage), storage.next_lsn());
    if (ordered <= first) {
        return search_ordered(storage, first, time_ms);
    }
    Lsn found = 0;
    visit_events_below(storage, ordered, [&](const Event& event) {
        found = event.time_ms >= time_ms ? event.lsn : 0;
        return found == 0;
    });
    if (found != 0) {
        return found;
    }
    return ordered == storage.next_lsn() ? ordered : search_ordered(storage, ordered, time_ms);
}

Lsn last_lsn_until_time(const Storage& storage, std::int64_t time_ms) {
    const Lsn first = first_stored_lsn(storage);
    if (first == 0) {
        return 0;
    }
    const Lsn ordered = std::min(read_ordered_lsn(storage), storage.next_lsn());
    Lsn found = 0;
    if (ordered < storage.next_lsn()) {
        const Lsn from = search_ordered(storage, std::max(first, ordered), time_ms + 1);
        storage.read_log(from, [&](const EventGroup& group) {
            read_event_group(group.bytes, [&](const Event& event) {
                if (event.lsn >= ordered && event.time_ms <= time_ms) {
                    found = event.lsn;
                }
            });
            return false;
        });
    }
    if (found == 0) {
        visit_events_below(storage, ordered, [&](const Event& event) {
            if (event.time_ms <= time_ms) {
                found = event.lsn;
            }
            return true;
        });
    }
    return found;
}

Error events_gone(Lsn after_lsn) {
    return {ErrorCode::replication_gap, "The events after LSN " + std::to_string(after_lsn) +
                                            " are not kept any more: begin with a snapshot"};
}

namespace {

/// Whether there is an event from before a time. If not, events that are not kept any more may be from after
/// it, and who asks for what follows one of them is not to be led past the others.
bool begins_before(const Storage& storage, std::int64_t time_ms) {
    const std::optional<Start> oldest = group_at(storage, 0);
    return oldest && oldest->time_ms < time_ms;
}

/// Collects the events that match.
class Search {
public:
    /// From `begin` on.
    Search(reply::Events& found, const EventFilter& filter, Lsn begin, Lsn ordered, const Deadline& deadline)
        : found_(found), filter_(filter), deadline_(deadline), expected_(begin), ordered_(ordered) {}

    /// False when it is over.
    bool look_at(const EventGroup& group) {
        if (group.first_lsn > expected_ || (looked_at_ != 0 && has_had_enough())) {
            return false;
        }
        expected_ = group.first_lsn + group.count;
        bytes_ += found_.found.pick(group.bytes, [&](const Event& event) { return wants(event); });
        looked_at_ += group.count;
        found_.complete = found_.complete || found_.searched_lsn >= found_.last_lsn;
        return !found_.complete;
    }

private:
    bool wants(const Event& event) {
        if (event.lsn <= found_.after_lsn || event.lsn > found_.last_lsn || found_.complete) {
            return false;
        }
        if (event.time_ms > filter_.to_ms && event.lsn >= ordered_) {
            found_.complete = true;
            return false;
        }
        found_.searched_lsn = event.lsn;
        // One more than are wanted shows that there are more.
        if (matches_ > found_.limit || !filter_.matches(event)) {
            return false;
        }
        ++matches_;
        return true;
    }

    bool has_had_enough() const {
        constexpr std::uint64_t looked_at_max = 1'000'000;
        constexpr std::size_t bytes_max = 64U << 20U;
        if (matches_ >= found_.limit || looked_at_ >= looked_at_max || bytes_ >= bytes_max) {
            return true;
        }
        try {
            deadline_.check();
            return false;
        } catch (const RequestError&) {
            return true;  // who asked goes on from here
        }
    }

    reply::Events& found_;
    const EventFilter& filter_;
    const Deadline& deadline_;
    Lsn expected_;
    Lsn ordered_;
    std::uint64_t looked_at_ = 0;
    std::uint64_t matches_ = 0;  // one more than the limit at most
    std::size_t bytes_ = 0;
};

}  // namespace

Reply search_events(const Storage& storage, const EventFilter& filter, std::optional<Lsn> after_lsn,
                    std::size_t limit, Lsn last_lsn, const Deadline& deadline) {
    reply::Events found;
    found.limit = limit;
    found.first_lsn = first_kept_lsn(storage);
    found.last_lsn = last_lsn;
    const Lsn first = found.first_lsn == 0 ? last_lsn + 1 : found.first_lsn;
    found.after_lsn = after_lsn.value_or(first - 1);
    Lsn begin = found.after_lsn + 1;
    if (filter.from_ms > std::numeric_limits<std::int64_t>::min() &&
        (!after_lsn || begins_before(storage, filter.from_ms))) {
        begin = std::max(begin, first_lsn_from_time(storage, filter.from_ms));
    }
    found.searched_lsn = begin - 1;
    if (begin > last_lsn) {
        found.searched_lsn = std::max(found.after_lsn, last_lsn);
        found.complete = true;
        return found;
    }
    std::optional<Search> search;
    storage.read_log(begin, [&](const EventGroup& group) {
        if (!search) {
            if (group.first_lsn > begin && after_lsn) {
                return false;
            }
            // Who began with the first that is kept begins with what is the first by now.
            begin = std::max(begin, group.first_lsn);
            search.emplace(found, filter, begin, read_ordered_lsn(storage), deadline);
        }
        return search->look_at(group);
    });
    // Not a word of events that are missing: between what was searched and the last one there must be more.
    if (!search) {
        return events_gone(begin - 1);
    }
    return found;
}

}  // namespace karma
