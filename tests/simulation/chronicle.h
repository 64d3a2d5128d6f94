#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "persist/database.h"
#include "tests/simulation/node.h"

namespace karma::test {

// What was seen of the histories of all nodes, and whether the invariants I1 to I4 of
// docs/replication-protocol.md hold. Each write of the clients adds 1 to a counter of its own, the write's
// number: so it is told from all others, in logs and in sums.
class Chronicle {
public:
    static constexpr const char* series = "ledger";

    Chronicle(Scheduler& scheduler, std::function<void(const std::string&)> fail)
        : scheduler_(scheduler), fail_(std::move(fail)) {}

    // Looks at a node as it is now.
    void look_at(SimulatedNode& node);
    // Its directory is another one: it may hold anything.
    void forget(const std::string& node);
    // It was lost before it could be looked at.
    void note_crash(Scheduler::Clock::time_point now) { crashed_at_ = now; }
    // It says that its file of discarded events has none up to there: it never had them, or retention took
    // them.
    void note_missing(const std::string& node, Lsn last_lsn) { missing_[node] = last_lsn; }
    // The last epoch of this node was begun with all the promises that it takes.
    void note_safe_epoch(SimulatedNode& node);
    // A client got this reply from a node at this time, and others behind it since. All nodes were looked at
    // just now. So many followers had to have the write; 0 where that is not known.
    void acknowledge(std::uint64_t write, const std::string& node, std::uint32_t min_acks,
                     Scheduler::Clock::time_point came_at);

    // At the end, of a node that has what the final master has.
    void check_state(SimulatedNode& node);
    // Of a master: every write that was acknowledged before, where no exception holds.
    void check_acknowledged(SimulatedNode& master);

    DatabaseId database_of(const std::string& node) const;
    std::size_t acknowledged() const noexcept { return acknowledged_.size(); }
    std::size_t given_up() const noexcept { return given_up_.size(); }
    std::size_t orders() const noexcept { return orders_; }

private:
    // A history up to an event.
    struct History {
        DatabaseId database;
        Epochs epochs;
        Lsn lsn = 0;

        Epoch epoch_at(Lsn at) const;
        bool holds(const History& part) const;
    };
    struct Place {
        DatabaseId database;
        std::uint64_t epoch_id = 0;
        std::uint64_t epoch_number = 0;
        Lsn lsn = 0;
    };
    struct Seen {
        History history;
        Lsn scanned = 0;                // events up to there are known
        std::int64_t last_time_ms = 0;  // of the last of them
        std::set<std::string> used;     // orders of the operator, as far as it was started with them
        bool syncs = true;
    };
    // An event as it was seen first.
    struct Contents {
        std::uint32_t checksum = 0;
        std::string node;
        bool may_be_lost = false;  // that node alone had it, and does not sync
    };
    struct Acknowledged {
        DatabaseId database;
        std::uint64_t epoch_number = 0;  // in which it was
        bool has_followers = false;      // some had to have it
    };
    using Key = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, Lsn>;  // database, epoch, event

    void scan(Database& database, const History& now, Seen& seen, const std::string& name);
    void check_replacement(SimulatedNode& node, Seen& seen, const History& now);
    void check_audit(SimulatedNode& node, const History& before, const History& now);
    static bool has(const History& history, const Place& place);
    std::size_t times_in(const History& history, std::uint64_t write) const;

    // What a node held until it got another history.
    struct Replaced {
        std::string node;
        bool syncs = true;
        History history;
        Scheduler::Clock::time_point at;
    };
    // What is lost now counts for replies to writes that all who had to have them had before: a retry may
    // come at any time.
    void note_holders();
    bool was_held(std::uint64_t write, const std::string& node, std::size_t holders) const;
    // That sync, and this one.
    std::set<std::string> holders_of(std::uint64_t write, const std::string& this_one,
                                     Scheduler::Clock::time_point came_at) const;
    void forget_if_lost(const Key& key, std::uint32_t checksum, const std::string& name);

    Scheduler& scheduler_;
    std::function<void(const std::string&)> fail_;
    std::map<std::string, Seen> nodes_;
    std::vector<Replaced> replaced_;
    std::map<Key, Contents> contents_;
    std::map<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>, std::string> writers_;
    std::map<std::uint64_t, std::vector<Place>> places_;  // of writes
    std::map<Key, std::size_t> most_holders_;             // of a place: at once, of those that sync
    std::map<std::uint64_t, Acknowledged> acknowledged_;
    std::set<std::uint64_t> given_up_;  // by an order
    std::set<std::uint64_t> safe_epochs_;
    std::map<std::string, Lsn> missing_;  // of the last order of each node
    std::size_t orders_ = 0;
    std::optional<Scheduler::Clock::time_point> crashed_at_;
};

}  // namespace karma::test
