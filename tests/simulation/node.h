#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/log.h"
#include "persist/database.h"
#include "replica/node.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/network.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

// How a node is started.
struct NodeRole {
    std::optional<std::string> source;  // the node that it follows
    std::uint32_t min_acks = 0;
    bool commits_only_awaited = false;   // a flaw: see ServedConnection
    bool follows_nobody = false;         // a follower without a source
    bool commits_in_background = false;  // by a thread of the daemon, as in the real one, not by connections
    std::string known_as;                // by its source; empty: as the node
    std::optional<std::string> order;    // to give up what it has; none: another one at each start
    std::uint32_t ack_timeout_ms = 300;
    std::uint32_t failover_ms = 0;  // 0: it does not promote itself
    bool failover_unsafe = false;
    std::size_t followers_max = 64;
    bool syncs = true;              // false: --wal-fsync=false
    bool has_log = true;            // false: --wal=false
    std::string token;              // of who asks it, and of itself when it asks others
    bool keeps_nothing = false;     // --storage=memory, which does not sync either: empty at each start
    std::size_t files_max = 1'024;  // that the process may have open
    bool limits_clients = true;     // false, a flaw: they take the files that the storage needs
    std::uint64_t records_max = IdempotencyRetention().records_max;
    std::uint64_t retention_bytes = 2'000;  // everything that no snapshot needs is dropped soon; 0: nothing
};

// The right time, which clocks that are not ahead show.
std::int64_t right_unix_ms(const Scheduler& scheduler);

// A machine with a disk, on which a daemon runs now and then: a database without threads of its own, what
// replicates, and what answers the lines of connections. All but the sockets and threads is the daemon's.
class SimulatedNode {
public:
    SimulatedNode(std::string name, Scheduler& scheduler, SimulatedNetwork& network);
    ~SimulatedNode();

    const std::string& name() const noexcept { return name_; }
    SimulatedDisk& disk() noexcept { return disk_; }
    // By how much the machine's clock is ahead of the others'; a daemon that runs sees it step. The monotonic
    // clock does not step.
    std::chrono::milliseconds clock_ahead{0};
    // What connections have executed stays in an open commit group.
    bool has_slow_disk = false;
    // Gets the lines of the daemon's log.
    std::function<void(const std::string& node, const std::string& line)> on_log = [](const std::string&,
                                                                                      const std::string&) {};
    // Called when a daemon that was stopped has done its last, before what it had opened is closed.
    std::function<void()> on_ended = [] {};

    // From a simulated thread. Throws what opening the database throws.
    void start(const NodeRole& role);
    // At once: what runs from here on has neither disk nor network any more.
    void crash(bool loses_power);
    // The same when it has written so many times, wherever it is then.
    void crash_at_write(std::uint64_t writes, bool loses_power);
    // Waits until what has crashed, or runs, has ended. A daemon that runs ends as at SIGTERM.
    void stop();

    // The daemon that runs; null while none does.
    Database* database() noexcept;
    // That one, or the one that is being stopped: it takes, and acknowledges, what arrives until it has
    // ended.
    Database* database_to_look_at() noexcept;
    // How it was started last, and when.
    const NodeRole& role() const noexcept { return role_; }
    Scheduler::Clock::time_point started_at() const noexcept { return started_at_; }
    // Throws RequestError. `is_forced`: without asking others for promises.
    void promote(bool is_forced = false);
    // What is stored lies in another directory from here on: these contents, or nothing. Nothing runs.
    void move_in(const MemoryStorage& contents);
    // Where it keeps files for the operator.
    const std::filesystem::path& directory() const noexcept { return directory_.path(); }
    // What it says of its place among the others; "none" while no daemon runs.
    ReplicationStatistics statistics() const;
    // Why somebody should look at it; empty: it says that all is well.
    std::string alarm() const;
    // As replication.status shows it; empty where it does not run.
    std::string state() const;
    // It has diverged, or holds another database, and has used up the order that it was started with.
    bool wants_order() const;
    // Files that hold what was discarded for the master's history.
    std::size_t discarded_files() const;

private:
    struct Daemon;
    std::string place() const;

    std::string name_;
    Scheduler& scheduler_;
    SimulatedNetwork& network_;
    SimulatedDisk disk_;
    TempDir directory_;
    std::uint64_t starts_ = 0;  // each gives an order of its own
    std::uint64_t places_ = 0;  // directories that it has had
    NodeRole role_;
    Scheduler::Clock::time_point started_at_;
    std::unique_ptr<Daemon> daemon_;
    Database* ending_ = nullptr;  // of a daemon that is being stopped
    std::vector<std::unique_ptr<Daemon>> crashed_;
};

}  // namespace karma::test
