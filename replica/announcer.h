#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "net/log.h"
#include "replica/network.h"
#include "replica/peers.h"

namespace karma::replica {

/// Tells every node that this one has heard of which epoch is the latest, from a thread of its own, until
/// each has answered once: the one that began it does, and whoever learns of it passes it on. So a master of
/// an earlier epoch learns that it is none any more, whoever knows it. Thread-safe.
class Announcer {
public:
    /// All of them outlive it. `token`: for the others; empty: none.
    Announcer(Replicated& database, net::Log& log, Peers& peers, const Ground& ground, std::string token);
    Announcer(const Announcer&) = delete;
    Announcer& operator=(const Announcer&) = delete;
    ~Announcer();

    /// `self`: this node, as others can ask it. Its host is not told: they see it.
    void start(KnownNode self);
    void stop();
    /// There may be a later epoch.
    void on_epoch();
    /// There is a node that may not know of it.
    void on_peer();

private:
    void run();
    bool tell_all();
    bool tell(const KnownNode& peer, const Epoch& epoch);
    KnownNode beginner_of(const Epoch& epoch) const;

    Replicated& database_;
    net::Log& log_;
    Peers& peers_;
    const Ground ground_;
    const std::string token_;
    KnownNode self_;

    std::mutex mutex_;
    const std::unique_ptr<Condition> changed_ = ground_.runtime.make_condition();
    bool has_news_ = false;
    std::atomic<bool> interrupted_{false};  // ends what waits for another node
    bool stopping_ = false;

    // Of the thread:
    Epoch told_epoch_;
    std::vector<KnownNode> told_;  // those that know it
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
