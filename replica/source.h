#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "engine/replication_figures.h"
#include "engine/reply.h"
#include "net/log.h"
#include "net/subscription.h"
#include "replica/network.h"

namespace karma::replica {

class Session;

struct SourceOptions {
    std::size_t followers_max = 64;
    std::uint32_t min_acks = 0;
    /// A follower that takes nothing for so long is dropped.
    std::chrono::milliseconds timeout{15'000};
    /// Between comparisons of digests; 0: only when asked for.
    std::chrono::seconds digest_interval{60};
};

/// Serves those who follow this node, each from a thread of its own. Thread-safe.
class Source final : public net::SubscriptionHost {
public:
    /// `database` and `log` outlive it.
    Source(Replicated& database, net::Log& log, const SourceOptions& options,
           const Ground& ground = machine_ground());

    /// Drops all followers.
    ~Source() override;

    void adopt(int file, const std::string& address, net::Subscription subscription) override;
    void adopt(std::unique_ptr<Wire> wire, const std::string& address, net::Subscription subscription);

    /// Drops all followers, and refuses new ones.
    void stop();

    std::vector<FollowerFigures> followers() const;
    std::uint64_t bytes_sent() const;
    /// Adds what comparisons with followers have found.
    void add_comparisons(ReplicationFigures& figures) const;
    /// The follower whose state differs, and in what, or that followers are missing for which writes wait;
    /// empty while all is well.
    std::string alarm() const;

    /// Compares the state with that of each follower. Throws RequestError.
    reply::DigestsCompared compare(const Deadline& deadline);

    // For sessions:

    Replicated& database() noexcept { return database_; }
    net::Log& log() noexcept { return log_; }
    const SourceOptions& options() const noexcept { return options_; }
    Runtime& runtime() const noexcept { return ground_.runtime; }
    void on_acknowledged();
    void on_compared(const std::string& follower, Lsn lsn, const std::string& digest,
                     const std::string& difference);

private:
    struct Comparison {
        std::string follower;
        Lsn lsn = 0;
        std::string digest;
        std::string difference;  // empty: none
        std::uint64_t number = 0;
    };

    void wake_all();
    void reap();
    /// With the mutex held.
    std::string begin_session(std::unique_ptr<Wire> wire, const std::string& address,
                              net::Subscription subscription);
    /// Followers that have the state, by their names.
    std::map<std::string, Lsn> acked_lsns() const;

    Replicated& database_;
    net::Log& log_;
    const SourceOptions options_;
    const Ground ground_;
    int listener_ = 0;

    mutable std::mutex mutex_;
    std::list<std::unique_ptr<Session>> sessions_;
    bool stopping_ = false;
    std::uint64_t bytes_sent_before_ = 0;  // to followers that are gone

    std::mutex acks_mutex_;

    mutable std::mutex compared_mutex_;
    const std::unique_ptr<Condition> compared_ = ground_.runtime.make_condition();
    std::vector<Comparison> comparisons_;  // the last one of each follower
    std::uint64_t comparison_count_ = 0;
    std::uint64_t different_count_ = 0;
    std::uint64_t last_compared_unix_ = 0;
};

}  // namespace karma::replica
