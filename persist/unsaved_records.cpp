#include "persist/unsaved_records.h"

#include <iterator>
#include <utility>

#include "persist/record_store.h"

namespace karma {
namespace {

constexpr std::uint32_t records_in_row_max = 1024;

}  // namespace

std::vector<RecordChange> UnsavedRecords::Batch::changes() const {
    std::vector<RecordChange> changes = streams;
    for (const Row& row : rows) {
        changes.push_back(records_change(row.last_lsn, row.bytes));
    }
    return changes;
}

void UnsavedRecords::add(const Event& event, const EventRecords& records, Lsn first_record_lsn) {
    if (records.idempotency != nullptr) {
        std::deque<Batch::Row>& rows = unsaved_.rows;
        if (rows.empty() || rows.back().count >= records_in_row_max) {
            while (!rows.empty() && rows.front().last_lsn < first_record_lsn) {
                rows.pop_front();
            }
            rows.emplace_back();
        }
        Batch::Row& last = rows.back();
        append_record(*records.idempotency, last.bytes);
        last.last_lsn = event.lsn;
        ++last.count;
    }
    if (!records.pruned_streams.empty()) {
        append_pruned_streams(records.pruned_streams, event.lsn, unsaved_.streams);
    }
    if (records.stream != nullptr) {
        unsaved_.streams.push_back(committed_stream_change(*records.stream));
    }
}

UnsavedRecords::Batch UnsavedRecords::take() { return std::exchange(unsaved_, {}); }

void UnsavedRecords::put_back(Batch batch) {
    if (!batch.rows.empty()) {
        // It may be stored nevertheless, under the LSN that it has now: nothing may be added to it.
        batch.rows.back().count = records_in_row_max;
    }
    std::move(unsaved_.rows.begin(), unsaved_.rows.end(), std::back_inserter(batch.rows));
    std::move(unsaved_.streams.begin(), unsaved_.streams.end(), std::back_inserter(batch.streams));
    unsaved_ = std::move(batch);
}

}  // namespace karma
