#include "persist/karma1/state.h"

#include <algorithm>
#include <utility>

#include "engine/check.h"
#include "engine/record_codec.h"
#include "persist/karma1/records_json.h"
#include "persist/karma1/tree_reader.h"
#include "persist/record_store.h"

namespace karma {

// ---- files

void Karma1State::add_tree(const std::string& series, Lsn lsn, std::string_view bytes) {
    state_.restore_series(read_tree_series(series, state_.hash_seed(), lsn, bytes));
    tree_lsns_[series] = lsn;
    last_needed_ = std::max(last_needed_, lsn);
}

void Karma1State::read_records(std::string_view json,
                               const std::function<void(const IdempotencyRecord&)>& on_record) {
    read_records_json(
        json,
        [&](const IdempotencyRecord& read) {
            IdempotencyRecord record = read;
            record.lsn = records_ + 1;
            state_.restore_record(record);
            store_record(record);
            on_record(record);
        },
        [&](StreamInfo stream) { committed_.push_back(std::move(stream)); });
}

void Karma1State::add_records(Lsn lsn, std::string_view json) {
    read_records(json, [](const IdempotencyRecord&) {});
    if (records_ > lsn) {
        throw CorruptionError("there are " + std::to_string(records_) +
                              " idempotency records, more than events up to LSN " + std::to_string(lsn));
    }
    for (StreamInfo& stream : committed_) {
        stream.lsn = lsn;
    }
    records_lsn_ = lsn;
    last_needed_ = std::max(last_needed_, lsn);
}

void Karma1State::add_records_of_unknown_lsn(std::string_view json) {
    read_records(json, [this](const IdempotencyRecord& record) { record_keys_.emplace(record.key); });
    records_lsn_ = records_;
    is_records_lsn_known_ = false;
}

void Karma1State::add_checkpoints(std::vector<reply::Checkpoint> checkpoints) {
    state_.restore_checkpoints(std::move(checkpoints));
    has_checkpoints_ = true;
}

// ---- events

void Karma1State::begin_events(Lsn lsn) { state_.restore_last_lsn(lsn); }

bool Karma1State::apply(const Event& event) {
    if (event.lsn != state_.last_lsn() + 1) {
        throw CorruptionError("an event with LSN " + std::to_string(event.lsn) + " after LSN " +
                              std::to_string(state_.last_lsn()));
    }
    return take_next(event).how != Taken::How::refused;
}

Karma1State::Taken Karma1State::take(const Event& event) {
    state_.restore_last_lsn(event.lsn - 1);
    try {
        return take_next(event);
    } catch (const RefusedEvent&) {
        state_.restore_last_lsn(event.lsn);
        return {Taken::How::refused, why_refused(event)};
    }
}

/// As a client has read it; the message of a RefusedEvent is for another node.
std::string Karma1State::why_refused(const Event& event) const {
    const std::optional<Reply> reply = std::visit(FactChecker(state_), event.body);
    const Error* const error = reply ? std::get_if<Error>(&*reply) : nullptr;
    return error == nullptr ? std::string() : error->message;
}

Karma1State::Taken Karma1State::take_next(const Event& event) {
    if (is_records_lsn_known_ && event.lsn > records_lsn_) {
        end_events();  // of those that the file of records holds
    }
    if (is_held(event)) {
        state_.restore_last_lsn(event.lsn);
        return {Taken::How::held_by_files, {}};
    }
    const bool is_in_tree = tree_holds(series_of(event.body), event.lsn);
    const Taken::How how = is_in_tree ? Taken::How::held_by_files : Taken::How::applied;
    if (std::holds_alternative<fact::AddChunk>(event.body) && is_in_tree) {
        state_.apply(event);  // only the stream takes note of it
        return {how, {}};
    }
    try {
        state_.replicate(without_known(event));
    } catch (const RefusedEvent& refused) {
        if (is_of_unknown_stream(refused, event.body)) {
            throw;
        }
        state_.restore_last_lsn(event.lsn);
        return refused.code() ? Taken{Taken::How::refused, why_refused(event)} : Taken{how, {}};
    }
    return {how, {}};
}

bool Karma1State::is_in_file_of_records(const Event& event) const {
    return event.lsn <= records_lsn_ || record_keys_.contains(event.idempotency_key);
}

/// The event without what the file of records has of it.
Event Karma1State::without_known(const Event& event) const {
    Event taken = event;
    if (is_in_file_of_records(event)) {
        taken.idempotency_key = {};  // its record was in the file, if it still was there
    }
    const auto* const commit = std::get_if<fact::CommitStream>(&event.body);
    const StreamInfo* const known = commit == nullptr ? nullptr : find_committed(commit->stream_id);
    if (known != nullptr) {
        taken.time_ms = known->committed_at_unix.value_or(0) * 1000;  // the log does not say it
    }
    return taken;
}

bool Karma1State::tree_holds(std::string_view series, Lsn lsn) const {
    const auto found = tree_lsns_.find(series);
    return found != tree_lsns_.end() && lsn <= found->second;
}

const StreamInfo* Karma1State::find_committed(std::string_view id) const {
    const auto found = std::ranges::find(committed_, id, &StreamInfo::id);
    return found == committed_.end() ? nullptr : &*found;
}

bool Karma1State::is_held(const Event& event) const {
    if (std::holds_alternative<fact::PruneRecords>(event.body) ||
        std::holds_alternative<fact::PruneStreams>(event.body)) {
        return event.lsn <= records_lsn_ || !is_records_lsn_known_;
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
    const bool wants_record = !event.idempotency_key.empty() && !is_in_file_of_records(event);
    return !wants_record && tree_holds(series_of(event.body), event.lsn);
}

/// What a chunk did is held by the file of its series. A stream that is open has to take note of it even so.
bool Karma1State::is_held(const Event& event, const fact::AddChunk& chunk) const {
    if (!tree_holds(chunk.series, event.lsn)) {
        return false;
    }
    const IngestStreams::Stream* const stream = state_.streams().find(chunk.stream_id);
    return stream == nullptr || stream->info.is_committed() ||
           chunk.chunk_seq != stream->info.last_chunk_seq() + 1;
}

/// A stream that began before the events, and is in the file of records: its commit did nothing more, but in
/// mode replace_series, where it put the series in place.
bool Karma1State::is_held(const Event& event, const fact::CommitStream& commit) const {
    const StreamInfo* const known = find_committed(commit.stream_id);
    if (known == nullptr || state_.streams().find(commit.stream_id) != nullptr) {
        return false;
    }
    return known->mode != IngestMode::replace_series || tree_holds(known->series.value_or(""), event.lsn);
}

/// Streams of the file of records whose events are not among those that were applied.
void Karma1State::end_events() {
    for (StreamInfo& stream : committed_) {
        const IngestStreams::Stream* const found = std::as_const(state_).streams().find(stream.id);
        if (found == nullptr || !found->info.is_committed()) {
            stream.lsn = stream.lsn == 0 ? std::max<Lsn>(state_.last_lsn(), 1) : stream.lsn;
            state_.restore_stream(std::move(stream), nullptr);
        }
    }
    committed_.clear();
}

// ---- records

void Karma1State::accept(const Event& /*event*/, const EventRecords& records) {
    if (records.idempotency != nullptr) {
        store_record(*records.idempotency);
    }
}

void Karma1State::store_record(const IdempotencyRecord& record) {
    constexpr std::size_t in_a_row = 1024;
    append_record(record, row_);
    ++records_;
    row_lsn_ = record.lsn;
    if (++row_records_ == in_a_row) {
        end_row();
    }
}

void Karma1State::end_row() {
    if (row_records_ != 0) {
        rows_.push_back(records_change(row_lsn_, std::move(row_)));
        row_.clear();
        row_records_ = 0;
    }
}

void Karma1State::install() {
    if (state_.last_lsn() < last_needed_) {
        throw CorruptionError("events are missing after LSN " + std::to_string(state_.last_lsn()));
    }
    end_events();
    end_row();
    for (const StreamInfo& stream : state_.streams().committed_streams()) {
        rows_.push_back(committed_stream_change(stream));
    }
    state_.take_deferred();
    // The event before the next one is not in the log, and nobody knows its checksum.
    ReceivedState received{state_, std::move(rows_), {state_.last_lsn(), std::nullopt}, {}, {}, retention_};
    install_(received);
}

}  // namespace karma
