#pragma once

#include <limits>
#include <string>

#include "engine/reply.h"
#include "persist/database/parts.h"
#include "persist/snapshot_files.h"

/// Requests about the files of snapshots. Each runs on any thread, without the database's lock.
namespace karma {

Error past_the_end(std::uint64_t total);

/// Gives a series the contents of a snapshot, or of a `.tree` file in the data directory.
class LoadTask final : public Task {
public:
    LoadTask(DatabaseParts& parts, std::string file) : parts_(parts), file_(std::move(file)) {}

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    DatabaseParts& parts_;
    std::string file_;
};

/// Finds the file that a part is asked for of.
class FetchTask final : public Task {
public:
    FetchTask(DatabaseParts& parts, const query::FetchSnapshot& query)
        : parts_(parts), file_(query.file), offset_(query.offset), limit_(query.limit) {}

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    DatabaseParts& parts_;
    std::string file_;
    std::uint64_t offset_;
    std::uint64_t limit_;
};

/// The same of the file of idempotency records.
class FetchRecordsTask final : public Task {
public:
    FetchRecordsTask(DatabaseParts& parts, const query::FetchRecords& query) : parts_(parts), query_(query) {}

    TaskKind kind() const override { return TaskKind::administration; }
    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }
    Reply run(const Deadline& deadline) override;

private:
    DatabaseParts& parts_;
    query::FetchRecords query_;
};

}  // namespace karma
