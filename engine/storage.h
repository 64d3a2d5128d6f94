#pragma once

#include <span>

#include "engine/event_log.h"
#include "engine/record_tables.h"

namespace karma {

/// The storage that a database needs: an event log, and tables of records that are written in the same atomic
/// batch as the events from which they follow. The tables are complete up to the last event of the log at any
/// time.
class Storage : public EventLog, public RecordTables {
public:
    /// Writes a group and the record changes that follow from it, all or nothing. `group.first_lsn` is the
    /// position at which the writer expects to write: refused, with nothing written, unless it is `next_lsn`.
    /// With `sync` it is on disk when this returns, otherwise with the operating system. After a failure the
    /// storage refuses everything that writes.
    virtual void append(const EventGroup& group, std::span<const RecordChange> records, bool sync) = 0;

    /// Removes all events and records and writes these records instead, all or nothing, synced. The log goes
    /// on at LSN 1. Nothing may append or write beside it.
    virtual void clear(std::span<const RecordChange> records) = 0;

    /// Does the same as `reclaim` for tables with many removed ranges, so that reads and starts do not get
    /// slower with their number. Called in the background, some time after the start.
    virtual void tidy() {}

    /// The process is stopping: makes `reclaim`, `reclaim_range` and `tidy` return early, also those under
    /// way, and leave the rest to the next run. From any thread.
    virtual void end_maintenance() {}

    /// True once a failure, of whatever kind of write, has made it refuse everything that writes. From any
    /// thread.
    virtual bool refuses_writes() const noexcept { return false; }

    /// Makes a storage usable again that has refused to write since a failure; does nothing if it is usable.
    /// Throws StorageError if it is still not usable, or if `append` has failed, because only a restart shows
    /// what that has written. No other thread may write meanwhile.
    virtual void recover() {}
};

}  // namespace karma
