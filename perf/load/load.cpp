#include "perf/load/load.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <limits>
#include <memory>
#include <random>
#include <sys/resource.h>
#include <thread>

#include "perf/load/key_distribution.h"
#include "perf/load/request_source.h"
#include "perf/measure/clock.h"

namespace karma::perf {

namespace {

constexpr std::uint64_t never_ns = std::numeric_limits<std::uint64_t>::max();

// Idempotency keys must be fresh on a server that earlier runs have talked to, whatever the seed. 48 bits are
// enough for that, and leave a key with some 20 characters, as those of clients have.
std::string unique_text() {
    std::random_device device;
    const std::uint64_t number = (std::uint64_t{device()} << 32U) | device();
    std::array<char, 16> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number >> 16U, 16).ptr;
    return {text.data(), end};
}

// As many connections as the system lets this process have.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void run_preload(LoadOptions options, LoadResult& result) {
    options.mix = {{&PreloadSource::operation(options), 1}};
    options.idempotency = false;
    options.in_flight = options.mix.front().operation->batch() ? 16 : 256;
    PreloadSource source(options);
    const std::uint64_t begin = now_ns();
    const Schedule schedule{begin, never_ns, 0, seconds_to_ns(options.timeout_seconds)};
    std::atomic<bool> failed = false;
    const Outcome outcome = Worker(options, 1, source).run(schedule, failed);
    result.preloaded = outcome.measured.front().items;
    result.preload_seconds = static_cast<double>(now_ns() - begin) / 1e9;
    if (!outcome.failure.empty()) throw RunError("preload: " + outcome.failure);
    if (outcome.all_errors > 0) throw RunError("preload: " + outcome.first_error);
}

KeyDistribution make_keys(const LoadOptions& options) {
    return options.zipf_skew ? KeyDistribution::zipf(options.keys, *options.zipf_skew, options.seed)
                             : KeyDistribution::uniform(options.keys);
}

// The part of thread `index` when `total` is shared out.
template <typename Number>
Number share(Number total, std::uint32_t threads, std::uint32_t index) {
    return total / threads + (index < total % threads ? 1 : 0);
}

void run_measured(const LoadOptions& options, LoadResult& result) {
    const KeyDistribution keys = make_keys(options);
    const std::string unique = unique_text();
    std::vector<std::unique_ptr<MixSource>> sources;
    std::vector<std::unique_ptr<Worker>> workers;
    for (std::uint32_t i = 0; i < options.threads; ++i) {
        const std::uint64_t seed = Random(options.seed * 256 + i).next();
        sources.push_back(std::make_unique<MixSource>(options, keys, seed, unique + "-" + std::to_string(i)));
        const std::uint32_t connections = share(options.connections, options.threads, i);
        workers.push_back(std::make_unique<Worker>(options, connections, *sources.back()));
    }

    std::atomic<bool> failed = false;
    const std::uint64_t from = now_ns() + seconds_to_ns(options.warmup_seconds);
    const std::uint64_t until = from + seconds_to_ns(options.seconds);
    std::vector<Outcome> outcomes(options.threads, Outcome(options.mix.size()));
    {
        std::vector<std::jthread> threads;
        for (std::uint32_t i = 0; i < options.threads; ++i) {
            threads.emplace_back([&, i] {
                const std::uint64_t requests = share(options.requests, options.threads, i);
                const Schedule schedule{from, until, requests, seconds_to_ns(options.timeout_seconds)};
                outcomes[i] = workers[i]->run(schedule, failed);
            });
        }
    }
    for (const Outcome& outcome : outcomes) result.outcome.add(outcome);

    // Cut short by --requests or a failure, it lasted until the last reply.
    const bool cut_short = options.requests != 0 || !result.outcome.failure.empty();
    const std::uint64_t last_reply = std::max(result.outcome.last_reply_ns, from);
    result.seconds = static_cast<double>((cut_short ? std::min(last_reply, until) : until) - from) / 1e9;
}

}  // namespace

LoadResult run_load(const LoadOptions& options) {
    LoadResult result{Outcome(options.mix.size())};
    raise_descriptor_limit();
    try {
        if (options.preload) run_preload(options, result);
        run_measured(options, result);
    } catch (const RunError& error) {
        result.outcome.failure = error.what();
    }
    return result;
}

}  // namespace karma::perf
