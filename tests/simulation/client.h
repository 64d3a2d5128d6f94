#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "tests/simulation/ledger.h"
#include "tests/simulation/lines.h"
#include "tests/simulation/network.h"

namespace karma::test {

// What a client knows of the cluster.
struct ClientView {
    std::function<std::string()> master;  // as it was told last
    std::function<std::string()> any_node;
    std::function<bool()> is_over;  // the simulation has failed: no use going on
    std::function<void(const std::string&)> fail;
    bool masters_stay = true;      // what was read from a master stays read
    bool loads_snapshots = false;  // no reply to that has to wait for other nodes
    bool retries_anew = false;
};

// Sends requests over one connection at a time, alone or several before it reads the first reply, and those
// with an idempotency key again and again until they are acknowledged.
class SimulatedClient {
public:
    SimulatedClient(std::string name, SimulatedNetwork& network, CounterLedger& ledger, ClientView view)
        : name_(std::move(name)), network_(network), ledger_(ledger), view_(std::move(view)) {}

    // Until that many are done.
    void run(std::size_t requests);
    // Does nothing but read, as often as it can, until that is so.
    void watch(const std::function<bool()>& is_over);
    // A write behind a read that is answered by a task, when nobody else asks for anything.
    void ask_on_a_quiet_server();
    std::size_t done() const noexcept { return done_; }

private:
    // What came of a request: nothing where that is not known.
    using Reply = SimulatedLines::Reply;
    Reply ask(const std::string& node, std::string_view op, boost::json::object fields);
    // The same of several, which are sent before the first reply is read.
    std::vector<Reply> ask_all(const std::string& node, const std::vector<std::string>& lines);
    void pipeline_counts();
    void pipeline_loads();
    void increment_with_key();
    void increment_once();
    void read_sum();
    void change_something_else();
    std::uint64_t any_key();
    std::uint64_t any_value();

    std::string name_;
    SimulatedNetwork& network_;
    CounterLedger& ledger_;
    ClientView view_;
    SimulatedLines lines_{name_, network_};
    std::uint64_t count_ = 0;
    std::size_t done_ = 0;
};

}  // namespace karma::test
