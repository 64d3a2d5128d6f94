#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/reply.h"
#include "persist/database.h"

/// Requests to a database that take long. Each runs on any thread, without the database's lock.
namespace karma {

/// Stores a snapshot of a view that was pinned when it was asked for.
class SnapshotTask final : public Task {
public:
    /// `changes` are stored with it; `series` is what was asked for, empty for all.
    SnapshotTask(Database& database, StateView all, std::vector<RecordChange> changes, std::string series)
        : database_(database),
          all_(std::move(all)),
          lsn_(all_.lsn),
          changes_(std::move(changes)),
          name_(std::move(series)) {}
    /// `lsn`: the last event when the view was taken.
    SnapshotTask(Database& database, SeriesView one, Lsn lsn)
        : database_(database), one_(std::move(one)), lsn_(lsn), name_(one_->name()) {}

    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    Database& database_;
    StateView all_;
    std::optional<SeriesView> one_;
    Lsn lsn_;
    std::vector<RecordChange> changes_;
    std::string name_;
};

/// Reads events of the log up to what was the last one when they were asked for.
class EntriesTask final : public Task {
public:
    EntriesTask(Database& database, const query::LogEntries& query, Lsn source_lsn)
        : database_(database), query_(query), source_lsn_(source_lsn) {}

    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    Database& database_;
    query::LogEntries query_;
    Lsn source_lsn_;
};

/// Rebuilds the state from storage beside the live one and compares the two at one LSN.
class VerifyTask final : public Task {
public:
    explicit VerifyTask(Database& database) : database_(database) {}

    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    Database& database_;
};

/// What is answered once the log could not be written.
Error log_failed();

}  // namespace karma
