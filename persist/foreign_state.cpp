#include "persist/foreign_state.h"

#include <algorithm>

#include "engine/record_codec.h"
#include "persist/record_store.h"
#include "persist/records_json.h"
#include "persist/tree_reader.h"

namespace karma {

// ---- files

void ForeignState::add_tree(const std::string& series, Lsn lsn, std::string_view bytes) {
    state_.restore_series(read_tree_series(series, state_.hash_seed(), lsn, bytes));
    tree_lsns_[series] = lsn;
    last_needed_ = std::max(last_needed_, lsn);
}

void ForeignState::add_records(Lsn lsn, std::string_view json) {
    // The file has no LSNs. Each record came from an event of its own, so there are enough up to `lsn`.
    Lsn given = 0;
    read_records_json(
        json,
        [&](const IdempotencyRecord& read) {
            IdempotencyRecord record = read;
            record.lsn = ++given;
            state_.restore_record(record);
            store_record(record);
        },
        [&](StreamInfo stream) {
            stream.lsn = lsn;
            committed_.push_back(std::move(stream));
        });
    if (given > lsn) {
        throw CorruptionError("there are " + std::to_string(given) +
                              " idempotency records, more than events up to LSN " + std::to_string(lsn));
    }
    records_lsn_ = lsn;
    last_needed_ = std::max(last_needed_, lsn);
}

void ForeignState::add_checkpoints(std::vector<reply::Checkpoint> checkpoints) {
    state_.restore_checkpoints(std::move(checkpoints));
    has_checkpoints_ = true;
}

// ---- events

void ForeignState::begin_events(Lsn lsn) { state_.restore_last_lsn(lsn); }

bool ForeignState::apply(const Event& event) {
    if (event.lsn != state_.last_lsn() + 1) {
        throw CorruptionError("an event with LSN " + std::to_string(event.lsn) + " after LSN " +
                              std::to_string(state_.last_lsn()));
    }
    if (event.lsn > records_lsn_) {
        restore_committed();
    }
    if (is_held(event)) {
        state_.restore_last_lsn(event.lsn);
        return true;
    }
    if (std::holds_alternative<fact::AddChunk>(event.body) && tree_holds(series_of(event.body), event.lsn)) {
        state_.apply(event);  // only the stream takes note of it
        return true;
    }
    Event taken = event;
    if (event.lsn <= records_lsn_) {
        taken.idempotency_key = {};  // its record was in the file, if it still was there
        if (const auto* const commit = std::get_if<fact::CommitStream>(&event.body)) {
            if (const StreamInfo* const known = find_committed(commit->stream_id)) {
                taken.time_ms = known->committed_at_unix.value_or(0) * 1000;  // the log does not say it
            }
        }
    }
    try {
        state_.replicate(taken);
    } catch (const RefusedEvent& refused) {
        if (is_of_unknown_stream(refused, event.body)) {
            throw;
        }
        state_.restore_last_lsn(event.lsn);
        return false;
    }
    return true;
}

bool ForeignState::tree_holds(std::string_view series, Lsn lsn) const {
    const auto found = tree_lsns_.find(series);
    return found != tree_lsns_.end() && lsn <= found->second;
}

const StreamInfo* ForeignState::find_committed(std::string_view id) const {
    const auto found = std::ranges::find(committed_, id, &StreamInfo::id);
    return found == committed_.end() ? nullptr : &*found;
}

bool ForeignState::is_held(const Event& event) const {
    if (std::holds_alternative<fact::PruneRecords>(event.body) ||
        std::holds_alternative<fact::PruneStreams>(event.body)) {
        return event.lsn <= records_lsn_;
    }
    if (std::holds_alternative<fact::SaveCheckpoint>(event.body)) {
        return has_checkpoints_;
    }
    if (const auto* const chunk = std::get_if<fact::AddChunk>(&event.body)) {
        return is_held(event, *chunk);
    }
    if (const auto* const commit = std::get_if<fact::CommitStream>(&event.body)) {
        return is_held(event, *commit);
    }
    const bool wants_record = !event.idempotency_key.empty() && event.lsn > records_lsn_;
    return !wants_record && tree_holds(series_of(event.body), event.lsn);
}

/// What a chunk did is held by the file of its series. A stream that is open has to take note of it even so.
bool ForeignState::is_held(const Event& event, const fact::AddChunk& chunk) const {
    if (!tree_holds(chunk.series, event.lsn)) {
        return false;
    }
    const IngestStreams::Stream* const stream = state_.streams().find(chunk.stream_id);
    return stream == nullptr || stream->info.is_committed() ||
           chunk.chunk_seq != stream->info.last_chunk_seq() + 1;
}

/// A stream that began before the events, and is in the file of records: its commit did nothing more, but in
/// mode replace_series, where it put the series in place.
bool ForeignState::is_held(const Event& event, const fact::CommitStream& commit) const {
    const StreamInfo* const known = find_committed(commit.stream_id);
    if (known == nullptr || state_.streams().find(commit.stream_id) != nullptr) {
        return false;
    }
    return known->mode != IngestMode::replace_series || tree_holds(known->series.value_or(""), event.lsn);
}

/// Streams of the file of records whose events are not among those that were applied.
void ForeignState::restore_committed() {
    for (StreamInfo& stream : committed_) {
        const IngestStreams::Stream* const found = std::as_const(state_).streams().find(stream.id);
        if (found == nullptr || !found->info.is_committed()) {
            state_.restore_stream(std::move(stream), nullptr);
        }
    }
    committed_.clear();
}

// ---- records

void ForeignState::accept(const Event& /*event*/, const EventRecords& records) {
    if (records.idempotency != nullptr) {
        store_record(*records.idempotency);
    }
}

void ForeignState::store_record(const IdempotencyRecord& record) {
    constexpr std::size_t in_a_row = 1024;
    append_record(record, row_);
    row_lsn_ = record.lsn;
    if (++row_records_ == in_a_row) {
        end_row();
    }
}

void ForeignState::end_row() {
    if (row_records_ != 0) {
        rows_.push_back(records_change(row_lsn_, std::move(row_)));
        row_.clear();
        row_records_ = 0;
    }
}

void ForeignState::install() {
    if (state_.last_lsn() < last_needed_) {
        throw CorruptionError("events are missing after LSN " + std::to_string(state_.last_lsn()));
    }
    restore_committed();
    end_row();
    for (const StreamInfo& stream : state_.streams().committed_streams()) {
        rows_.push_back(committed_stream_change(stream));
    }
    state_.take_retired();
    // The event before the next one is not in the log, and nobody knows its checksum.
    ReceivedState received{state_, std::move(rows_), {state_.last_lsn(), std::nullopt}, {}, {}, retention_};
    install_(received);
}

}  // namespace karma
