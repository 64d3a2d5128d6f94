#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "replica/network.h"
#include "tests/simulation/scheduler.h"

namespace karma::test {

struct Link;

// Connections between nodes and clients, known by their names: they take their time, cut what is sent in
// pieces, stand still, and break. Bytes arrive in order and as they were sent, or not at all, as with TCP.
class SimulatedNetwork {
public:
    using Accept = std::function<void(std::unique_ptr<replica::PeerStream> stream, const std::string& from)>;

    explicit SimulatedNetwork(Scheduler& scheduler) : scheduler_(scheduler) {}

    // What `name` reaches others by; lives as long as this.
    replica::Network& of(const std::string& name);

    // A node takes connections from here on, or does not any more. `accept` does not wait.
    void listen(const std::string& name, Accept accept);
    void close(const std::string& name);

    // All connections of a node are as if it had lost its power: it has none any more, and the others hear of
    // it when they next send something to it after it is back, or never.
    void lose(const std::string& name);
    // One connection, chosen at random, breaks for both ends.
    void break_one();

    // Names take `name` some time to look up, and sometimes more than it has, until it is healed.
    void slow_down_lookups(const std::string& name) { slow_lookups_.insert(name); }
    // Nothing that `from` sends arrives at `to` until it is healed.
    void cut(const std::string& from, const std::string& to);
    void heal();
    bool is_cut(const std::string& from, const std::string& to) const { return cuts_.contains({from, to}); }

    Scheduler& scheduler() noexcept { return scheduler_; }

    // For lines: throws ConnectionError.
    std::unique_ptr<replica::PeerStream> connect(const std::string& from, const replica::Peer& peer);

private:
    void look_up(const std::string& from, const replica::Peer& peer);
    void forget_broken();
    void lose_end(const std::shared_ptr<Link>& link, std::size_t end);

    Scheduler& scheduler_;
    std::map<std::string, std::unique_ptr<replica::Network>> networks_;
    std::map<std::string, Accept> listening_;
    std::set<std::pair<std::string, std::string>> cuts_;
    std::set<std::string> slow_lookups_;
    std::vector<std::weak_ptr<Link>> links_;
};

}  // namespace karma::test
