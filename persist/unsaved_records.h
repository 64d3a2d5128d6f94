#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/storage.h"

namespace karma {

/// What follows from events and was not stored yet, where there is no log: it is stored with the next
/// snapshot of everything. Not thread-safe.
class UnsavedRecords {
public:
    /// Records that were taken to be stored, in the order of their events.
    struct Batch {
        struct Row {
            Lsn last_lsn = 0;
            std::uint32_t count = 0;
            std::string bytes;
        };
        std::deque<Row> rows;
        std::vector<RecordChange> streams;

        /// What stores them. A batch that is stored twice is there once.
        std::vector<RecordChange> changes() const;
    };

    /// Adds what follows from an event. Idempotency records below `first_record_lsn` are forgotten and need
    /// not be stored.
    void add(const Event& event, const EventRecords& records, Lsn first_record_lsn);

    /// Takes all that is there.
    Batch take();
    /// Puts back, before what was added since, a batch that could not be stored.
    void put_back(Batch batch);

private:
    Batch unsaved_;
};

}  // namespace karma
