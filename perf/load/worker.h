#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "perf/load/connection.h"
#include "perf/load/options.h"
#include "perf/load/request_source.h"
#include "perf/measure/histogram.h"

namespace karma::perf {

// When what happens, on the clock of now_ns().
struct Schedule {
    std::uint64_t measure_from_ns = 0;
    std::uint64_t measure_until_ns = 0;  // nothing is sent from then on
    std::uint64_t requests = 0;          // stop after so many measured replies; 0: no limit
    std::uint64_t timeout_ns = 0;        // give up when a reply takes longer
};

struct OperationCount {
    std::uint64_t requests = 0;  // replies, the errors among them
    std::uint64_t items = 0;
    std::uint64_t errors = 0;
    std::uint64_t repeats = 0;
    Histogram latency_ns;
};

// What one worker saw, or several together.
struct Outcome {
    std::vector<OperationCount> measured;  // by place in the mix
    std::uint64_t all_errors = 0;          // warm-up included
    std::string first_error;               // the first of them, as it was received, cut at 512 bytes
    std::uint64_t last_reply_ns = 0;       // of the measured ones
    std::uint64_t user_ns = 0;             // the generator's own processor time while measuring
    std::uint64_t system_ns = 0;
    std::string failure;  // why the run could not be completed; empty: it was

    explicit Outcome(std::size_t operations) : measured(operations) {}
    void add(const Outcome& other);
};

// One thread's part of the load: keeps its connections full until the schedule ends, then waits for the
// replies that are still out.
class Worker {
public:
    // Connects. Throws RunError. `source` has to live as long as the worker.
    Worker(const LoadOptions& options, std::uint32_t connections, RequestSource& source);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    // Blocks until all is done. A failure is in the outcome, and sets `failed`; the run also ends early,
    // without a failure of its own, when another worker sets that.
    Outcome run(const Schedule& schedule, std::atomic<bool>& failed);

private:
    struct State;

    void loop(State& state);
    void serve(State& state, std::size_t index, std::uint32_t events);
    void send(State& state, std::size_t index);
    void watch(std::size_t index, bool for_output);
    void follow_clock(State& state) const;
    static void end_measuring(State& state);
    void check_timeouts(const State& state, std::uint64_t now) const;

    RequestSource& source_;
    const std::size_t operations_;
    int epoll_;
    std::vector<Connection> connections_;
    std::vector<bool> watched_for_output_;
    std::vector<char> scratch_;
};

}  // namespace karma::perf
