#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "engine/replication_statistics.h"
#include "engine/reply.h"
#include "net/log.h"
#include "net/subscription.h"
#include "replica/counted_followers.h"
#include "replica/life.h"
#include "replica/network.h"
#include "replica/refusals.h"

namespace karma::replica {

class Session;

/// How a node describes itself to its followers.
struct SelfDescription {
    Life life;            // without what concerns one follower
    std::string refusal;  // why nobody can follow this node for now; empty where they can
};

struct SourceOptions {
    std::size_t followers_max = 64;
    std::uint32_t min_acks = 0;
    /// A follower that takes nothing for this time is dropped.
    std::chrono::milliseconds timeout{15'000};
    /// The time between comparisons of digests; 0: only on request.
    std::chrono::seconds digest_interval{60};
};

/// Serves the followers of this node, each from a thread of its own. Thread-safe.
class Source final : public net::SubscriptionHost {
public:
    /// `database` and `log` outlive it.
    Source(Replicated& database, net::Log& log, const SourceOptions& options,
           const Environment& environment = machine_environment());

    /// Drops all followers.
    ~Source() override;

    /// Sets the function that describes this node. It is called from any thread, from before the first
    /// follower until `stop`. Without it the database describes the node.
    void describe_node(std::function<SelfDescription()> describe) { describe_ = std::move(describe); }
    /// Sets a listener that is called for each follower that is accepted or names a later epoch.
    void on_follower(std::function<void(const KnownNode&)> listener) { on_follower_ = std::move(listener); }

    /// Takes over a follower's connection. A refused follower gets a line with the reason.
    void adopt(net::ByteStream stream, const std::string& address, net::Subscription subscription) override;
    void adopt(std::unique_ptr<PeerStream> stream, const std::string& address,
               net::Subscription subscription);

    /// Drops all followers, and refuses new ones.
    void stop();

    std::vector<FollowerStatistics> followers() const;
    std::uint64_t bytes_sent() const;
    /// Adds the results of comparisons with followers.
    void add_comparisons(ReplicationStatistics& statistics) const;
    /// Names the follower whose state differs, and what differs, or the number of missing followers for which
    /// writes wait; empty while all is well.
    std::string alarm() const;

    CountedFollowers& counted() noexcept { return counted_; }
    const CountedFollowers& counted() const noexcept { return counted_; }
    std::vector<CountedStatistics> counted_statistics() const;
    /// Removes a follower that is not connected from the counted ones. Throws RequestError, StorageError.
    KnownNode forget_follower(NodeId node, const std::string& name);

    /// Compares the state with that of each follower. Throws RequestError.
    reply::DigestsCompared compare(const Deadline& deadline);

    // For sessions:

    Replicated& database() noexcept { return database_; }
    net::Log& log() noexcept { return log_; }
    const SourceOptions& options() const noexcept { return options_; }
    Runtime& runtime() const noexcept { return environment_.runtime; }
    void on_acknowledged();
    /// The ids of this node and of the nodes up to the master.
    std::vector<NodeId> chain() const;
    /// The content of a heartbeat for this follower.
    Life life_for(const Session& session) const;
    void note_accepted(const Session& session);
    /// Notes a follower that was accepted or has named a later epoch: later epochs are announced to it.
    void note_follower(const Session& session);
    /// Logs the refusal, unless the follower of this name was refused for the same reason before. `reason`
    /// does not change from one try to the next.
    void log_refusal(const std::string& name, const std::string& address, const std::string& reason,
                     const std::string& message);
    void note_ended(const Session& session);
    /// Whether this follower's acknowledgements count from now on. If not, begins the steps after which they
    /// will.
    bool consider(const Session& session);
    void note_list_stored(const Session& session, const Epoch& epoch, std::uint64_t version);
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
    /// Why this node refuses this follower; empty if it accepts it. With the mutex held.
    std::string refusal_of(const net::Subscription& subscription, const SelfDescription& self);
    std::string refusal_line(const std::string& why) const;
    SelfDescription describe() const;
    /// With the mutex held. Returns why there is no session; empty if there is one. `failed` is a session
    /// that could not start and has the stream; the stream is null if it was lost.
    std::string begin_session(std::unique_ptr<PeerStream>& stream, const std::string& address,
                              net::Subscription subscription, std::unique_ptr<Session>& failed);
    /// With the mutex held: the session's follower is counted, and has the state, in this generation.
    bool counts(const Session& session, std::uint64_t generation) const;
    /// The acknowledged LSNs of counted followers, by their names.
    std::map<std::string, Lsn> acked_lsns() const;
    std::string acks_alarm() const;
    std::string why_not_counted(const Session& session) const;
    void tell_lists();

    Replicated& database_;
    net::Log& log_;
    const SourceOptions options_;
    const Environment environment_;
    CountedFollowers counted_;
    std::function<SelfDescription()> describe_;
    std::function<void(const KnownNode&)> on_follower_;
    int listener_ = 0;

    mutable std::mutex mutex_;
    std::list<std::unique_ptr<Session>> sessions_;
    bool stopping_ = false;
    std::uint64_t bytes_sent_before_ = 0;  // to followers that are gone

    Refusals refusals_;

    std::mutex acks_mutex_;  // of who tells what is acknowledged; held while a follower is forgotten

    mutable std::mutex compared_mutex_;
    const std::unique_ptr<Condition> compared_ = environment_.runtime.make_condition();
    std::vector<Comparison> comparisons_;  // the last one of each follower
    std::uint64_t comparison_count_ = 0;
    std::uint64_t different_count_ = 0;
    std::uint64_t last_compared_unix_ = 0;
};

}  // namespace karma::replica
