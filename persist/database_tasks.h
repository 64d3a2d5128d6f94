#pragma once

#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/event_filter.h"
#include "engine/reply.h"
#include "persist/database/parts.h"

/// Requests to a database that take long. Each runs on any thread, without the database's lock.
namespace karma {

/// Stores a snapshot of all series, or of one, as they are when it runs.
class SnapshotTask final : public Task {
public:
    SnapshotTask(SnapshotTaker& taker, std::optional<std::string> series)
        : taker_(taker), series_(std::move(series)) {}

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    SnapshotTaker& taker_;
    std::optional<std::string> series_;
};

/// Reads events of the log up to what was the last one when they were asked for.
class EntriesTask final : public Task {
public:
    EntriesTask(DatabaseParts& parts, const query::LogEntries& query, Lsn source_lsn)
        : parts_(parts), query_(query), source_lsn_(source_lsn) {}

    TaskKind kind() const override { return TaskKind::query; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    DatabaseParts& parts_;
    query::LogEntries query_;
    Lsn source_lsn_;
};

/// Searches the log for events, as far as one request may take.
class EventsTask final : public Task {
public:
    EventsTask(DatabaseParts& parts, const query::Events& query, Lsn last_lsn);

    TaskKind kind() const override { return TaskKind::query; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    std::optional<EventWait> event_wait() const override;
    Reply run(const Deadline& deadline) override;

private:
    DatabaseParts& parts_;
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
    explicit VerifyTask(DatabaseParts& parts) : parts_(parts) {}

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    DatabaseParts& parts_;
};

}  // namespace karma
