#pragma once

#include <functional>
#include <utility>

#include "engine/executor.h"

namespace karma::test {

// Leaves everything to another one, but for what a test does around executing.
class ForwardingExecutor : public Executor {
public:
    explicit ForwardingExecutor(Executor& under) : under_(under) {}

    void execute(std::span<const Request> requests, std::span<Outcome> outcomes) override {
        under_.execute(requests, outcomes);
    }
    bool commit() override { return under_.commit(); }
    bool has_records() const noexcept override { return under_.has_records(); }
    Stats& stats() noexcept override { return under_.stats(); }
    bool accepts_writes() const noexcept override { return under_.accepts_writes(); }
    Lsn durable_lsn() const noexcept override { return under_.durable_lsn(); }
    bool has_failed() const noexcept override { return under_.has_failed(); }
    int add_durable_listener(std::function<void()> listener) override {
        return under_.add_durable_listener(std::move(listener));
    }
    void remove_durable_listener(int number) override { under_.remove_durable_listener(number); }

private:
    Executor& under_;
};

}  // namespace karma::test
