#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "cli/csv_reader.h"
#include "engine/number.h"

namespace karma::cli {

/// Consecutive rows of the input that go out as one request.
struct Batch {
    std::uint64_t rows = 0;
    std::uint64_t first_line = 0;
    std::uint64_t last_line = 0;
    Uint128 total = 0;  // of the values
};

enum class BatchMode { add, set };

struct BatchLimits {
    std::size_t items = 1'000;
    std::size_t request_bytes = 4'096;  // without the newline
};

/// Builds the text of series.batch_add or series.batch_set requests, as many rows in each as its limits
/// allow.
class BatchBuilder {
public:
    /// Throws UsageError when not even one row is sure to fit into a request; limits.items is at least 1.
    BatchBuilder(BatchMode mode, std::string_view series, std::string_view token, const BatchLimits& limits);

    /// Appends a row; false, and nothing changes, when it has to go into the next batch.
    bool add(const CsvRow& row);

    bool empty() const { return batch_.rows == 0; }
    const Batch& batch() const { return batch_; }

    /// The request line, without a newline, of a batch that is not empty. Good until clear().
    std::string_view request();

    /// Begins the next batch.
    void clear();

private:
    BatchLimits limits_;
    std::size_t head_bytes_;
    std::string text_;
    Batch batch_;
};

}  // namespace karma::cli
