#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "engine/number.h"
#include "engine/storage_error.h"

namespace karma {

/// Events that are committed together: `bytes` is what EventGroupBuilder wrote.
struct EventGroup {
    Lsn first_lsn = 0;
    std::uint32_t count = 0;
    std::string_view bytes;
};

/// The log of event groups as those see it who read it and drop its beginning. A group is appended by
/// `Storage::append`, together with the records that follow from it.
///
/// One thread appends, or removes; meanwhile any thread may read. All functions throw StorageError when they
/// fail, and CorruptionError when stored bytes are damaged.
class EventLog {
public:
    EventLog() = default;
    EventLog(const EventLog&) = delete;
    EventLog& operator=(const EventLog&) = delete;
    virtual ~EventLog() = default;

    /// The position of the next event: one more than the last event of the log.
    virtual Lsn next_lsn() const = 0;

    /// Makes the log go on at `lsn`, ahead of `next_lsn`: only a snapshot has the events between.
    virtual void skip_to(Lsn lsn) = 0;

    /// Calls `visit` for each group, in order, that holds an event with an LSN of `from` or above (the first
    /// one may begin below it), until it returns false. Sees a consistent state of the log.
    virtual void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const = 0;

    /// About how many bytes the log takes.
    virtual std::uint64_t log_bytes() const = 0;

    /// About how many bytes the groups take that have an event with an LSN of `from` or above.
    virtual std::uint64_t log_bytes_from(Lsn from) const = 0;

    /// Removes the groups that hold only events below `lsn`, but never the last group, and gives their space
    /// back.
    virtual void erase_log_below(Lsn lsn) = 0;

    /// Stores the durable position, so that a start notices when a part of the files is missing. Called every
    /// few seconds; at a clean end a storage does it by itself.
    virtual void store_durable_position() {}
};

}  // namespace karma
