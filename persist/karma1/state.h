#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/replicated.h"
#include "persist/state_transfer.h"

namespace karma {

/// Builds the state of a Karma 1.0 from what it keeps, for who imports its directory and for who follows it:
/// each series begins with the contents of its file, and the events after the file are applied; streams and
/// idempotency records likewise. It uses the LSNs of Karma 1.0. Idempotency records of the file, which names
/// no LSNs, are numbered from 1 on: each came from an event of its own. Those of events have the LSN of the
/// event.
class Karma1State final : public ForeignStateWriter, private EventSink {
public:
    /// `install` is called with the complete state.
    using Install = std::function<void(ReceivedState& state)>;
    Karma1State(std::uint64_t hash_seed, const IdempotencyRetention& retention, Install install)
        : install_(std::move(install)), retention_(retention), state_(hash_seed, *this, retention) {}

    void add_tree(const std::string& series, Lsn lsn, std::string_view bytes) override;
    void add_records(Lsn lsn, std::string_view json) override;
    /// The same where it is not known at which LSN they were so: then their keys tell which events they are
    /// of. Throws CorruptionError.
    void add_records_of_unknown_lsn(std::string_view json);
    void add_checkpoints(std::vector<reply::Checkpoint> checkpoints) override;

    void begin_events(Lsn lsn) override;
    Lsn last_needed() const override { return last_needed_; }
    bool apply(const Event& event) override;

    /// What has become of an event.
    struct Taken {
        enum class How : std::uint8_t { applied, held_by_files, refused };
        How how = How::applied;
        std::string why_refused;  // as a client of Karma 1.0 has read it
    };
    /// As `apply`; an event of an unknown stream is refused. Events may be missing before it.
    Taken take(const Event& event);
    /// No event comes any more: streams that only the file of records knows are in the state from here on.
    void end_events();
    void install() override;

    /// The state as it is now.
    Engine& engine() noexcept { return state_; }
    const Engine& engine() const noexcept { return state_; }
    /// The number of idempotency records.
    std::uint64_t records() const noexcept { return records_; }

private:
    void accept(const Event& event, const EventRecords& records) override;
    Taken take_next(const Event& event);
    std::string why_refused(const Event& event) const;
    void read_records(std::string_view json, const std::function<void(const IdempotencyRecord&)>& on_record);
    void store_record(const IdempotencyRecord& record);
    void end_row();
    bool is_in_file_of_records(const Event& event) const;
    Event without_known(const Event& event) const;
    /// Whether the file of a series contains the effect of an event.
    bool tree_holds(std::string_view series, Lsn lsn) const;
    /// Whether an event needs no further work.
    bool is_held(const Event& event) const;
    bool is_held(const Event& event, const mutation::AddChunk& chunk) const;
    bool is_held(const Event& event, const mutation::CommitStream& commit) const;
    const StreamInfo* find_committed(std::string_view id) const;

    Install install_;
    IdempotencyRetention retention_;
    Engine state_;
    std::map<std::string, Lsn, std::less<>> tree_lsns_;
    std::vector<StreamInfo> committed_;  // of the file of records, until they are in the state
    bool has_checkpoints_ = false;
    Lsn records_lsn_ = 0;                             // the file of records holds all up to there, at least
    bool is_records_lsn_known_ = true;                // it holds nothing of later events
    std::set<std::string, std::less<>> record_keys_;  // of that file, where the LSN is not known
    Lsn last_needed_ = 0;
    std::vector<RecordChange> rows_;
    std::uint64_t records_ = 0;
    std::string row_;  // records that are no row yet
    std::size_t row_records_ = 0;
    Lsn row_lsn_ = 0;  // of the last of them
};

}  // namespace karma
