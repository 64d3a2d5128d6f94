#include "perf/load/worker.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>

#include "perf/measure/clock.h"
#include "perf/measure/text.h"

namespace karma::perf {

namespace {

constexpr std::size_t scratch_bytes = 256 * 1024;
constexpr int tick_ms = 20;  // how often the clock is looked at when nothing happens

std::uint64_t to_ns(const timeval& time) {
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_usec) * 1000;
}

rusage own_usage() {
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    return usage;
}

}  // namespace

void Outcome::add(const Outcome& other) {
    for (std::size_t i = 0; i < measured.size(); ++i) {
        measured[i].requests += other.measured[i].requests;
        measured[i].items += other.measured[i].items;
        measured[i].errors += other.measured[i].errors;
        measured[i].repeats += other.measured[i].repeats;
        measured[i].latency_ns.merge(other.measured[i].latency_ns);
    }
    all_errors += other.all_errors;
    if (first_error.empty()) first_error = other.first_error;
    last_reply_ns = std::max(last_reply_ns, other.last_reply_ns);
    user_ns += other.user_ns;
    system_ns += other.system_ns;
    if (failure.empty()) failure = other.failure;
}

struct Worker::State {
    State(const Schedule& plan, const std::atomic<bool>& stop, std::size_t operations)
        : schedule(plan), stopped(stop), outcome(operations) {}

    enum class Phase { warming_up, measuring, draining };

    // How many requests may still be sent.
    std::uint64_t allowance() const {
        if (phase == Phase::draining) return 0;
        if (schedule.requests == 0) return std::numeric_limits<std::uint64_t>::max();
        const std::uint64_t taken = replies + in_flight;
        return taken < schedule.requests ? schedule.requests - taken : 0;
    }

    const Schedule& schedule;
    const std::atomic<bool>& stopped;
    Outcome outcome;
    Phase phase = Phase::warming_up;
    std::uint64_t replies = 0;  // measured
    std::uint64_t in_flight = 0;
    std::uint64_t next_tick_ns = 0;
    rusage usage{};  // when the measuring began
};

Worker::Worker(const LoadOptions& options, std::uint32_t connections, RequestSource& source)
    : source_(source),
      operations_(options.mix.size()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      scratch_(scratch_bytes) {
    if (epoll_ < 0) throw RunError("epoll_create1: " + std::generic_category().message(errno));
    try {
        connections_.reserve(connections);
        for (std::uint32_t i = 0; i < connections; ++i) {
            connections_.emplace_back(options);
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = i;
            if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_.back().descriptor(), &event) != 0) {
                throw RunError("epoll_ctl: " + std::generic_category().message(errno));
            }
        }
    } catch (...) {
        close(epoll_);
        throw;
    }
    watched_for_output_.resize(connections);
}

Worker::~Worker() { close(epoll_); }

Outcome Worker::run(const Schedule& schedule, std::atomic<bool>& failed) {
    State state(schedule, failed, operations_);
    try {
        follow_clock(state);
        loop(state);
    } catch (const RunError& error) {
        state.outcome.failure = error.what();
        failed = true;
    }
    if (state.phase == State::Phase::measuring) end_measuring(state);
    return std::move(state.outcome);
}

void Worker::loop(State& state) {
    for (std::size_t i = 0; i < connections_.size(); ++i) send(state, i);
    std::array<epoll_event, 256> events{};
    while (state.in_flight > 0 && !state.stopped) {
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), tick_ms);
        if (count < 0 && errno != EINTR)
            throw RunError("epoll_wait: " + std::generic_category().message(errno));
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            serve(state, static_cast<std::size_t>(event.data.u64), event.events);
        }
        follow_clock(state);
    }
}

void Worker::serve(State& state, std::size_t index, std::uint32_t events) {
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) {
        connections_[index].receive(scratch_, [&](const Request& request, std::uint64_t latency_ns, bool good,
                                                  std::string_view start, std::uint64_t now) {
            --state.in_flight;
            if (!good) {
                if (state.outcome.all_errors++ == 0) state.outcome.first_error = start;
            }
            if (now < state.schedule.measure_from_ns || now >= state.schedule.measure_until_ns) return;
            ++state.replies;
            state.outcome.last_reply_ns = now;
            OperationCount& count = state.outcome.measured[request.operation];
            ++count.requests;
            count.items += request.items;
            count.errors += good ? 0 : 1;
            count.repeats += request.repeat ? 1 : 0;
            count.latency_ns.record(latency_ns);
        });
    }
    send(state, index);
}

void Worker::send(State& state, std::size_t index) {
    Connection& connection = connections_[index];
    state.in_flight += connection.send(source_, state.allowance());
    if (connection.has_unsent() != watched_for_output_[index]) watch(index, connection.has_unsent());
}

void Worker::watch(std::size_t index, bool for_output) {
    epoll_event event{};
    event.events = for_output ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.u64 = index;
    if (epoll_ctl(epoll_, EPOLL_CTL_MOD, connections_[index].descriptor(), &event) != 0) {
        throw RunError("epoll_ctl: " + std::generic_category().message(errno));
    }
    watched_for_output_[index] = for_output;
}

void Worker::follow_clock(State& state) const {
    using Phase = State::Phase;
    const std::uint64_t now = now_ns();
    if (state.phase == Phase::warming_up && now >= state.schedule.measure_from_ns) {
        state.phase = Phase::measuring;
        state.usage = own_usage();
    }
    if (state.phase == Phase::measuring && now >= state.schedule.measure_until_ns) end_measuring(state);
    if (now >= state.next_tick_ns) {
        state.next_tick_ns = now + std::uint64_t{tick_ms} * 1'000'000;
        check_timeouts(state, now);
    }
}

void Worker::end_measuring(State& state) {
    state.phase = State::Phase::draining;
    const rusage usage = own_usage();
    state.outcome.user_ns = to_ns(usage.ru_utime) - to_ns(state.usage.ru_utime);
    state.outcome.system_ns = to_ns(usage.ru_stime) - to_ns(state.usage.ru_stime);
}

void Worker::check_timeouts(const State& state, std::uint64_t now) const {
    for (const Connection& connection : connections_) {
        if (connection.in_flight() == 0 || connection.oldest_sent_ns() + state.schedule.timeout_ns > now)
            continue;
        throw RunError("no reply for " + fixed(static_cast<double>(state.schedule.timeout_ns) / 1e9, 1) +
                       " s: the server hangs, with " + std::to_string(state.in_flight) +
                       " requests unanswered");
    }
}

}  // namespace karma::perf
