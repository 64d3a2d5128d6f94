#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/replicated.h"
#include "persist/history_marks.h"
#include "persist/snapshot_manifest.h"

/// The transfer of a whole state from one node to another, in pieces: docs/replication.md describes them.
namespace karma {

/// A record of `meta` that exists while a state is put in place: the stored state is incomplete then.
inline constexpr const char* installing_key = "installing_state";

/// Times that go with a state, Unix milliseconds; 0: not known.
struct StateTimes {
    std::int64_t last_event_ms = 0;
    std::int64_t age_ms = 0;  // up to when the age of records has been counted: see AgeClock
};

/// A received or imported state that is to replace the state of a database.
struct ReceivedState {
    Engine& engine;
    std::vector<RecordChange> records;  // idempotency records, and committed streams
    HistoryMark mark;                   // the last event
    DatabaseId database_id;             // may be not known
    HistoryMarks marks;                 // of earlier events
    IdempotencyRetention retention;     // by which its idempotency records live
    std::int64_t age_ms = 0;            // as in StateTimes
};

/// Makes the pieces of a state, from the pages of a view and the records in storage.
class StateSender final : public StateReader {
public:
    /// Everything up to the view's LSN is durable. `tables` outlives this. `kept`, which lives as long as
    /// this, keeps the idempotency records of the view in storage.
    StateSender(StateView view, const StateTimes& times, HistoryMark mark, std::uint64_t hash_seed,
                const RecordTables& tables, const DatabaseId& database_id, HistoryMarks marks,
                std::shared_ptr<const void> kept);

    Lsn lsn() const noexcept override { return view_.lsn; }
    void read(const std::function<void(std::string_view piece)>& take) override;

private:
    using Take = std::function<void(std::string_view piece)>;

    void send_pages(const std::vector<SeriesView>& views, const Take& take) const;
    void send_records(const Take& take) const;

    StateView view_;
    StateTimes times_;
    HistoryMark mark_;
    std::uint64_t hash_seed_;
    const RecordTables& tables_;
    DatabaseId database_id_;
    HistoryMarks marks_;
    std::shared_ptr<const void> kept_;
};

/// Builds a received state beside the state of a database.
class StateReceiver final : public StateWriter {
public:
    /// `install` is called with the state once it is whole.
    using Install =
        std::function<std::filesystem::path(ReceivedState& state, const Replacement& replacement)>;
    StateReceiver(const IdempotencyRetention& retention, Install install)
        : retention_(retention), install_(std::move(install)) {}

    void add(std::string_view piece) override;
    std::filesystem::path install(const Replacement& replacement) override;

private:
    void add_head(std::string_view bytes);
    void add_pages(std::string_view bytes);
    void add_records(std::string_view bytes);
    void add_stream(std::string_view bytes);
    Series take_series(const SnapshotSeries& entry);

    IdempotencyRetention retention_;
    std::int64_t age_ms_ = 0;
    Install install_;
    NullSink sink_;
    std::optional<SnapshotManifest> manifest_;
    HistoryMark mark_;
    DatabaseId database_id_;
    HistoryMarks marks_;
    std::unique_ptr<Engine> state_;
    std::map<std::uint64_t, std::vector<PageRef>> pages_;  // by the number of their series
    std::vector<RecordChange> records_;                    // idempotency records, and committed streams
    bool is_whole_ = false;
};

}  // namespace karma
