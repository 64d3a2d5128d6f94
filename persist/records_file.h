#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "engine/record_tables.h"
#include "engine/reply.h"
#include "engine/scan.h"
#include "persist/karma1/records_json.h"

namespace karma {

/// The `karma.idempotency.json` of a snapshot, for clients that fetch it part by part: records come and go
/// meanwhile, so it is written to disk once. The file has no name and is gone with this object. Thread-safe.
class RecordsFile final : public reply::ByteSource {
public:
    /// Writes what `selection` lets through of the records in `tables` to a file in `directory`. Throws
    /// StorageError, and RequestError when the deadline comes first.
    RecordsFile(const RecordTables& tables, const RecordsSelection& selection,
                const std::filesystem::path& directory, const Deadline& deadline);
    ~RecordsFile() override;

    std::uint64_t size() const noexcept { return size_; }
    const WrittenRecords& written() const noexcept { return written_; }

    void read(std::uint64_t offset, std::size_t count, std::string& out) const override;

private:
    void write(std::string_view bytes);

    int file_ = -1;
    std::uint64_t size_ = 0;
    WrittenRecords written_;
};

}  // namespace karma
