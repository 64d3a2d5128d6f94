#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace karma::replica {

using Clock = std::chrono::steady_clock;

/// A thread. The destructor waits for its end.
class Thread {
public:
    Thread() = default;
    Thread(const Thread&) = delete;
    Thread& operator=(const Thread&) = delete;
    virtual ~Thread() = default;
};

/// A condition variable: a thread waits for it with a mutex, which is released meanwhile.
class Condition {
public:
    Condition() = default;
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;
    virtual ~Condition() = default;

    virtual void notify_all() noexcept = 0;

    /// Waits until it is notified, or until the time, if given, has passed. May return earlier.
    virtual void wait(std::unique_lock<std::mutex>& lock,
                      std::optional<std::chrono::milliseconds> time = std::nullopt) = 0;
};

/// Time, threads and waiting: those of the machine, or those of a simulation, in which one thread runs at a
/// time, chosen by a seed. The code of replica/ waits only through a Runtime and its connections.
/// Thread-safe.
class Runtime {
public:
    Runtime() = default;
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;
    virtual ~Runtime() = default;

    virtual Clock::time_point now() const noexcept = 0;
    /// Throws std::system_error when no thread can be made.
    virtual std::unique_ptr<Thread> start_thread(std::function<void()> work) = 0;
    virtual std::unique_ptr<Condition> make_condition() = 0;
};

Runtime& machine_runtime();

}  // namespace karma::replica
