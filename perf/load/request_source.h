#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "perf/load/key_distribution.h"
#include "perf/load/options.h"
#include "perf/load/random.h"
#include "perf/load/request_format.h"
#include "perf/load/send_buffer.h"

namespace karma::perf {

// What was written, to be accounted for when its reply comes.
struct Request {
    std::uint32_t operation = 0;  // place in the mix
    std::uint32_t items = 0;      // counters it is about
    bool repeat = false;          // sent before, with the same idempotency key
};

// Where requests come from. Each thread has its own.
class RequestSource {
public:
    virtual ~RequestSource() = default;

    // Appends one request to the buffer and says which. False: there are no more, and nothing was written.
    virtual bool next(SendBuffer& buffer, Request& request) = 0;
};

// The workload: operations by weight, on random series, keys and days; some of the writes with an idempotency
// key are repeats of recent ones. Never ends.
class MixSource : public RequestSource {
public:
    // `keys` has to live as long as the source. `unique` as for make_request_format.
    MixSource(const LoadOptions& options, const KeyDistribution& keys, std::uint64_t seed,
              const std::string& unique);

    bool next(SendBuffer& buffer, Request& request) override;

private:
    struct Part {
        std::unique_ptr<RequestFormat> format;
        std::size_t max_size;
        std::uint32_t items;
        std::uint32_t up_to;  // of all weights: the parts before it and itself
        bool repeatable;
        std::vector<std::string> recent = {};  // repeatable requests, a ring once it is full
        std::size_t oldest = 0;                // of them
    };

    // Requests of an operation that may be repeated: the last so many, so that some of their firsts are still
    // in flight and others are not.
    static constexpr std::size_t recent_max = 256;

    Part& pick_part(std::uint32_t& place);
    bool picks_repeat(const Part& part);
    static void remember(Part& part, std::string_view request);

    const KeyDistribution& keys_;
    Random random_;
    Days days_;
    std::uint32_t series_count_;
    std::uint32_t repeat_percent_;
    std::vector<Part> parts_;
    std::vector<Item> items_;
};

// The preload: 1 for every day of every key of every series, in order, once.
class PreloadSource : public RequestSource {
public:
    explicit PreloadSource(const LoadOptions& options);

    bool next(SendBuffer& buffer, Request& request) override;

    // The operation that it is made of.
    static const Operation& operation(const LoadOptions& options);

private:
    void pick_items();

    const std::uint32_t keys_;
    const std::uint32_t series_count_;
    const std::uint32_t batch_;
    Days days_;
    std::unique_ptr<RequestFormat> format_;
    std::uint32_t series_ = 0;
    std::uint32_t key_ = 0;
    std::uint32_t day_ = 0;
    std::vector<Item> items_;
};

}  // namespace karma::perf
