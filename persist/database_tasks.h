#pragma once

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/reply.h"
#include "persist/database.h"

/// Requests to a database that take long. Each runs on any thread, without the database's lock.
namespace karma {

/// Stores a snapshot of all series, or of one, as they are when it runs.
class SnapshotTask final : public Task {
public:
    SnapshotTask(Database& database, std::optional<std::string> series)
        : database_(database), series_(std::move(series)) {}

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    Database& database_;
    std::optional<std::string> series_;
};

/// Reads events of the log up to what was the last one when they were asked for.
class EntriesTask final : public Task {
public:
    EntriesTask(Database& database, const query::LogEntries& query, Lsn source_lsn)
        : database_(database), query_(query), source_lsn_(source_lsn) {}

    TaskKind kind() const override { return TaskKind::query; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    Database& database_;
    query::LogEntries query_;
    Lsn source_lsn_;
};

/// Searches the log for events, as far as one request may take.
class EventsTask final : public Task {
public:
    EventsTask(Database& database, const query::Events& query, Lsn last_lsn);

    TaskKind kind() const override { return TaskKind::query; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    std::optional<EventWait> event_wait() const override;
    Reply run(const Deadline& deadline) override;

private:
    Database& database_;
    std::optional<Lsn> after_lsn_;
    std::size_t limit_;
    EventFilter filter_;
    std::chrono::milliseconds wait_;
    Lsn last_lsn_;
    bool shows_idempotency_keys_;
};

/// Rebuilds the state from storage beside the live one and compares the two at one LSN.
class VerifyTask final : public Task {
public:
    explicit VerifyTask(Database& database) : database_(database) {}

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    Database& database_;
};

/// Why nothing is written after an event was applied in part.
inline constexpr const char* half_changed_text =
    "memory ended while an event was applied: what is in memory is not what the event log gives. A restart "
    "goes back to that";

/// What is answered once the log could not be written.
Error log_failed();

}  // namespace karma
