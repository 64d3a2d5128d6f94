#include "persist/records_of_series.h"

#include <algorithm>

#include "engine/mutation.h"
#include "persist/restore.h"

namespace karma {

RecordsOfSeries::RecordsOfSeries(const EventLog& log, std::string series, Lsn first_lsn, Lsn last_lsn)
    : series_(std::move(series)) {
    log.read_log(first_lsn, [&](const EventGroup& group) {
        if (group.first_lsn > last_lsn) {
            return false;
        }
        const Lsn group_last = group.first_lsn + group.count - 1;
        if (known_.empty() || known_.back().second + 1 != group.first_lsn) {
            known_.emplace_back(group.first_lsn, group_last);
        } else {
            known_.back().second = group_last;
        }
        read_group(group, [&](const Event& event) {
            if (!event.idempotency_key.empty() && names_series(event.body, series_)) {
                lsns_.push_back(event.lsn);
            }
        });
        return true;
    });
}

void RecordsOfSeries::restrict(RecordsSelection& selection) {
    selection.wants_record = [this](const IdempotencyRecord& record) { return wants(record); };
    selection.wants_stream = [this](const StreamInfo& stream) { return stream.series == series_; };
}

bool RecordsOfSeries::wants(const IdempotencyRecord& record) {
    if (!is_known(record.lsn)) {
        ++left_out_;
        return false;
    }
    return std::ranges::binary_search(lsns_, record.lsn);
}

bool RecordsOfSeries::is_known(Lsn lsn) const {
    return std::ranges::any_of(known_,
                               [&](const auto& part) { return part.first <= lsn && lsn <= part.second; });
}

}  // namespace karma
