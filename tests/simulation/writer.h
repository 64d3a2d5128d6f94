#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "tests/simulation/chronicle.h"
#include "tests/simulation/lines.h"

namespace karma::test {

// What a writer knows of the cluster.
struct WriterView {
    std::function<std::string()> any_node;
    std::function<bool()> is_over;
    std::function<std::uint64_t()> next_write;  // another number each time
    std::chrono::milliseconds patience{600};    // with a reply
    // It got a reply at this time that says so of this write.
    std::function<void(std::uint64_t write, const std::string& node, Scheduler::Clock::time_point came_at)>
        acknowledged;
};

// Sends writes of the chronicle, several before it reads the first reply, to whoever takes them; those with
// an idempotency key again, until they are acknowledged, and sometimes once more.
class SimulatedWriter {
public:
    SimulatedWriter(std::string name, SimulatedNetwork& network, WriterView view)
        : name_(std::move(name)), network_(network), view_(std::move(view)), lines_(name_, network_) {
        lines_.patience = view_.patience;
    }

    // Until that is so.
    void run(const std::function<bool()>& is_over);
    // Sends all keyed ones once more to this node.
    void send_again(const std::string& node);

private:
    std::string line_of(std::uint64_t write, bool has_key) const;

    std::string name_;
    SimulatedNetwork& network_;
    WriterView view_;
    SimulatedLines lines_;
    std::string node_;                         // that took the last one
    std::vector<std::uint64_t> pending_;       // keyed
    std::vector<std::uint64_t> acknowledged_;  // keyed
};

}  // namespace karma::test
