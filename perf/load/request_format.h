#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "perf/load/operation.h"
#include "perf/load/options.h"

namespace karma::perf {

struct Item {
    std::uint32_t key;
    std::uint32_t day;  // place in Days
};

// The days that buckets are spread over, the last one being today (UTC).
class Days {
public:
    // count >= 1.
    explicit Days(std::uint32_t count);

    std::uint32_t count() const { return static_cast<std::uint32_t>(texts_.size()); }
    // "20260505"
    const std::string& text(std::uint32_t day) const { return texts_[day]; }

private:
    std::vector<std::string> texts_;
};

// Writes the requests of one operation. What does not change is written once, at the start.
// Not thread-safe: each thread has its own.
class RequestFormat {
public:
    virtual ~RequestFormat() = default;

    // The most bytes that a request of so many items takes.
    virtual std::size_t max_size(std::size_t items) const = 0;

    // Writes one request to `at`, which has room for max_size(), and returns its end. `items` holds at least
    // one; an operation that is no batch looks at the first only. series < options.series_count.
    virtual char* write(char* at, std::uint32_t series, std::span<const Item> items) = 0;
};

// `unique` begins every idempotency key; no two formats, in this run or another against the same server, may
// share one. The options' days and the others of `days` need not agree: `days` counts.
std::unique_ptr<RequestFormat> make_request_format(const Operation& operation, const LoadOptions& options,
                                                   const Days& days, const std::string& unique);

// The name of a series by its number: "links", or "links0" … when there are several.
std::string series_name(const LoadOptions& options, std::uint32_t number);

}  // namespace karma::perf
