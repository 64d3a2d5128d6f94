#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/json/object.hpp>

#include "tests/simulation/ledger.h"
#include "tests/simulation/network.h"

namespace karma::test {

// What a client knows of the cluster.
struct ClientView {
    std::function<std::string()> master;  // as it was told last
    std::function<std::string()> any_node;
    std::function<bool()> is_over;  // the simulation has failed: no use going on
    std::function<void(const std::string&)> fail;
    bool masters_stay = true;  // what was read from a master stays read
    bool retries_anew = false;
};

// Sends requests one after the other, over one connection at a time, and those with an idempotency key again
// and again until they are acknowledged.
class SimulatedClient {
public:
    SimulatedClient(std::string name, SimulatedNetwork& network, CounterLedger& ledger, ClientView view)
        : name_(std::move(name)), network_(network), ledger_(ledger), view_(std::move(view)) {}

    // Until that many are done.
    void run(std::size_t requests);
    // Does nothing but read, as often as it can, until that is so.
    void watch(const std::function<bool()>& is_over);
    std::size_t done() const noexcept { return done_; }

private:
    // What came of a request: nothing where that is not known.
    std::optional<boost::json::object> ask(const std::string& node, std::string_view op,
                                           boost::json::object fields);
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
    std::string connected_to_;
    std::unique_ptr<replica::Line> line_;
    std::uint64_t count_ = 0;
    std::size_t done_ = 0;
};

}  // namespace karma::test
