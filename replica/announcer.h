#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "net/log.h"
#include "replica/network.h"
#include "replica/peers.h"

namespace karma::replica {

/// Tells every node that this one has heard of which epoch is the latest, from a thread of its own, until
/// each has answered once that it knows it: the one that began it does, and whoever learns of it passes it
/// on. So a master of an earlier epoch learns that it is none any more, whoever knows it. One that does not
/// answer is asked again for as long as it is known, the more rarely the longer it is silent; the log names
/// it once for each epoch. Thread-safe.
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

    /// How long the next try waits, at most, and the wait from which on the log names the node.
    static constexpr auto wait_max = std::chrono::minutes(5);
    static constexpr auto wait_logged = std::chrono::seconds(32);

private:
    /// A node, and how far it was told of the latest epoch.
    struct Told {
        KnownNode peer;
        bool knows = false;
        std::chrono::milliseconds wait{0};  // that followed the last try
        Clock::time_point next;             // try, where it does not know
    };

    void run();
    std::optional<Clock::time_point> tell_all();
    void follow_peers(std::vector<KnownNode> peers);
    void tell_later(Told& told, const Epoch& epoch);
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
    std::vector<Told> told_;  // of all peers, the latest first: of those before some are not there any more
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
