#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "tests/simulation/network.h"

namespace karma::test {

// Sends lines to nodes over one connection at a time, and reads their replies.
class SimulatedLines {
public:
    // What came of a request: nothing where that is not known.
    using Reply = std::optional<boost::json::object>;

    SimulatedLines(std::string name, SimulatedNetwork& network) : name_(std::move(name)), network_(network) {}

    // All are sent before the first reply is read.
    std::vector<Reply> ask_all(const std::string& node, const std::vector<std::string>& lines);
    // When each of the replies came that were given last.
    const std::vector<Scheduler::Clock::time_point>& came_at() const noexcept { return came_at_; }
    void close() { stream_.reset(); }
    // How long it waits for the next reply.
    std::chrono::milliseconds patience{600};

private:
    void exchange(std::string bytes, std::vector<Reply>& replies);
    void connect_to(const std::string& node);

    std::string name_;
    SimulatedNetwork& network_;
    std::vector<Scheduler::Clock::time_point> came_at_;
    std::string connected_to_;
    std::unique_ptr<replica::PeerStream> stream_;
};

}  // namespace karma::test
