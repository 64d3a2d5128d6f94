#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/replicated.h"
#include "persist/state_transfer.h"

namespace karma {

/// Builds the state of a Karma 1.0 master beside the state of a database. Each series begins with the
/// contents of its file, and the events after the file are applied; streams and idempotency records likewise.
class ForeignState final : public ForeignStateWriter, private EventSink {
public:
    /// `install` is called with the complete state.
    using Install = std::function<void(ReceivedState& state)>;
    ForeignState(std::uint64_t hash_seed, const IdempotencyRetention& retention, Install install)
        : install_(std::move(install)), retention_(retention), state_(hash_seed, *this, retention) {}

    void add_tree(const std::string& series, Lsn lsn, std::string_view bytes) override;
    void add_records(Lsn lsn, std::string_view json) override;
    void add_checkpoints(std::vector<reply::Checkpoint> checkpoints) override;
    void begin_events(Lsn lsn) override;
    Lsn last_needed() const override { return last_needed_; }
    bool apply(const Event& event) override;
    void install() override;

private:
    void accept(const Event& event, const EventRecords& records) override;
    void store_record(const IdempotencyRecord& record);
    void end_row();
    void restore_committed();
    /// Whether the file of a series contains the effect of an event.
    bool tree_holds(std::string_view series, Lsn lsn) const;
    /// Whether an event needs no further work.
    bool is_held(const Event& event) const;
    bool is_held(const Event& event, const fact::AddChunk& chunk) const;
    bool is_held(const Event& event, const fact::CommitStream& commit) const;
    const StreamInfo* find_committed(std::string_view id) const;

    Install install_;
    IdempotencyRetention retention_;
    Engine state_;
    std::map<std::string, Lsn, std::less<>> tree_lsns_;
    std::vector<StreamInfo> committed_;  // of the file of records, until they are in the state
    bool has_checkpoints_ = false;
    Lsn records_lsn_ = 0;
    Lsn last_needed_ = 0;
    std::vector<RecordChange> rows_;
    std::string row_;  // records that are no row yet
    std::size_t row_records_ = 0;
    Lsn row_lsn_ = 0;  // of the last of them
};

}  // namespace karma
