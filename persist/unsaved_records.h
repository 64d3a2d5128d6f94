#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/storage.h"

namespace karma {

/// Without a log: records that follow from events and that the next snapshot of everything will store. Not
/// thread-safe.
class UnsavedRecords {
public:
    /// Records that are being stored, in the order of their events.
    struct Batch {
        struct Row {
            Lsn last_lsn = 0;
            std::uint32_t count = 0;
            std::string bytes;
        };
        std::deque<Row> rows;
        std::vector<RecordChange> streams;

        /// The changes that store them. Storing a batch twice has the effect of storing it once.
        std::vector<RecordChange> changes() const;
    };

    /// Adds the records of an event. Idempotency records below `first_record_lsn` are forgotten and need not
    /// be stored.
    void add(const Event& event, const EventRecords& records, Lsn first_record_lsn);

    /// Takes all records.
    Batch take();
    /// Puts back a batch that could not be stored, before the records that were added since.
    void put_back(Batch batch);

private:
    Batch unsaved_;
};

}  // namespace karma
