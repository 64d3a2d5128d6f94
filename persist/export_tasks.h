#pragma once

#include <limits>
#include <optional>
#include <string>

#include "engine/reply.h"
#include "persist/database/parts.h"

/// Requests of exports. Each runs on any thread, without the database's lock.
namespace karma {

/// Pins a snapshot and writes the file of its idempotency records.
class BeginExportTask final : public Task {
public:
    BeginExportTask(DatabaseParts& parts, const query::BeginExport& query)
        : parts_(parts), is_new_(query.is_new), shows_idempotency_keys_(query.shows_idempotency_keys) {
        if (query.series) {
            series_ = *query.series;
        }
    }

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    reply::ExportBegun begin(const std::string& id, const Deadline& deadline);

    DatabaseParts& parts_;
    std::optional<std::string> series_;
    bool is_new_;
    bool shows_idempotency_keys_;
};

/// Returns a part of a file of an export.
class FetchExportTask final : public Task {
public:
    FetchExportTask(DatabaseParts& parts, const query::FetchExport& query)
        : parts_(parts),
          export_id_(query.export_id),
          file_(query.file),
          offset_(query.offset),
          limit_(query.limit),
          shows_idempotency_keys_(query.shows_idempotency_keys) {}

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    DatabaseParts& parts_;
    std::string export_id_;
    std::string file_;
    std::uint64_t offset_;
    std::uint64_t limit_;
    bool shows_idempotency_keys_;
};

}  // namespace karma
