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

/// Announces the latest epoch to every node that this one knows, from a thread of its own, until each has
/// answered once that it knows it. The node that began the epoch announces it, and each node that learns of
/// it passes it on, so the master of an earlier epoch learns that it is no master any more. A node that does
/// not answer is asked again for as long as it is known, at growing intervals; the log names it once for each
/// epoch. Thread-safe.
class Announcer {
public:
    /// All arguments outlive it. `token`: for the other nodes; empty: none.
    Announcer(Replicated& database, net::Log& log, Peers& peers, const Environment& environment,
              std::string token);
    Announcer(const Announcer&) = delete;
    Announcer& operator=(const Announcer&) = delete;
    ~Announcer();

    /// `self`: this node and its port. Other nodes see its host.
    void start(KnownNode self);
    void stop();
    /// Tells it that there may be a later epoch.
    void on_epoch();
    /// Tells it that there is a node that may not know the epoch.
    void on_peer();

    /// The longest wait before the next try, and the wait from which on the log names the node.
    static constexpr auto wait_max = std::chrono::minutes(5);
    static constexpr auto wait_logged = std::chrono::seconds(32);

private:
    /// A node, and whether it was told the latest epoch.
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
    const Environment environment_;
    const std::string token_;
    KnownNode self_;

    std::mutex mutex_;
    const std::unique_ptr<Condition> changed_ = environment_.runtime.make_condition();
    bool has_news_ = false;
    std::atomic<bool> interrupted_{false};  // ends what waits for another node
    bool stopping_ = false;

    // Of the thread:
    Epoch told_epoch_;
    std::vector<Told> told_;  // of all peers, the latest first: of those before some are not there any more
    std::unique_ptr<Thread> thread_;
};

}  // namespace karma::replica
