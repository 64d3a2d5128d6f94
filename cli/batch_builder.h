#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "cli/csv_reader.h"
#include "cli/import_stream.h"
#include "engine/number.h"

namespace karma::cli {

/// Consecutive rows of the input that go out as one request.
struct Batch {
    std::uint64_t rows = 0;
    std::uint64_t first_line = 0;
    std::uint64_t last_line = 0;
    Uint128 total = 0;  // of the values
};

/// The rows of a batch depend only on these limits and the stream, never on the token or the time, because
/// the batches of an import must be the same each time it is sent.
struct BatchLimits {
    std::size_t items = 1'000;
    std::size_t request_bytes = 4'096;  // without the newline
};

/// Builds the text of ingest.chunk requests, as many rows in each as its limits allow.
class BatchBuilder {
public:
    /// The space for the token in each request, whether there is one or not. Only a longer token makes
    /// batches smaller.
    static constexpr std::size_t token_bytes = 128;

    /// Throws UsageError when not even one row is sure to fit into a request; limits.items is at least 1.
    BatchBuilder(const ImportStream& stream, std::string_view token, const BatchLimits& limits);

    /// A text of the limits: two runs of an import with equal texts make the same batches of the same rows.
    /// At most 100 bytes of ASCII.
    std::string cutting(std::uint64_t first_line) const;

    /// Appends a row; false, and nothing changes, when it has to go into the next batch.
    bool add(const CsvRow& row);

    bool empty() const { return batch_.rows == 0; }
    const Batch& batch() const { return batch_; }

    /// The request line, without a newline, of a batch that is not empty, as the chunk of this number. Good
    /// until clear().
    std::string_view request(std::uint64_t chunk_seq);

    /// Begins the next batch.
    void clear();

private:
    BatchLimits limits_;
    std::size_t head_bytes_;
    std::size_t text_bytes_max_;  // of head and items
    std::string text_;
    Batch batch_;
};

}  // namespace karma::cli
