#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/event_log.h"
#include "persist/karma1/records_json.h"

namespace karma {

/// Finds the idempotency records of one series. A record does not name its series, but its event does, as
/// long as the log has it.
class RecordsOfSeries {
public:
    /// Reads the events of the log between two LSNs, both included. Throws StorageError and CorruptionError.
    RecordsOfSeries(const EventLog& log, std::string series, Lsn first_lsn, Lsn last_lsn);

    /// A selection of the records and streams of the series. This object outlives it.
    void restrict(RecordsSelection& selection);

    /// After the records were written: how many were left out because their events are no longer kept.
    std::uint64_t left_out() const noexcept { return left_out_; }

private:
    bool wants(const IdempotencyRecord& record);
    bool is_known(Lsn lsn) const;

    std::string series_;
    std::vector<Lsn> lsns_;                   // of events of the series that have a key; ascending
    std::vector<std::pair<Lsn, Lsn>> known_;  // the first and the last event of unbroken parts of the log
    std::uint64_t left_out_ = 0;
};

}  // namespace karma
