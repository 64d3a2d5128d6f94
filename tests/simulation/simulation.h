#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/scan.h"
#include "tests/simulation/client.h"
#include "tests/simulation/node.h"

namespace karma::test {

// What a seed has decided on.
struct SimulationPlan {
    std::size_t nodes = 1;
    bool is_chain = false;    // each node follows the one before, else all follow the master
    bool promotes = false;    // masters are lost for good, and followers take their place
    bool loses_power = true;  // crashes may take what was not synced
    std::uint32_t min_acks = 0;
    bool commits_in_background = false;  // by a thread of their own, not by who waits
    std::uint32_t ack_timeout_ms = 300;
    std::size_t clients = 1;
    std::size_t requests = 20;  // of each client
    std::size_t faults = 10;
    std::size_t files_max = 1'024;  // that a daemon may have open
};

// Protections that can be taken away, to see the simulation fail without them.
struct SimulationFlaws {
    bool ignores_sync = false;          // what was synced may be lost
    bool retries_anew = false;          // clients send again under another idempotency key
    bool needs_no_acks = false;         // promotions although no follower has to have what is acknowledged
    bool commits_only_awaited = false;  // what was executed is committed only where somebody waits for it yet
    bool limits_no_clients = false;     // connections and followers take the files that the storage needs
};

// Nodes, clients, and an operator who breaks and mends things, in simulated time: docs/reliability.md.
class Simulation {
public:
    explicit Simulation(std::uint64_t seed, const SimulationFlaws& flaws = {});

    // Runs to the end and says what was wrong; empty when nothing was.
    std::string run();

    const SimulationPlan& plan() const noexcept { return plan_; }
    std::uint64_t trace() const noexcept { return scheduler_.trace(); }
    std::uint64_t steps() const noexcept { return scheduler_.steps(); }
    // What has happened, for people.
    std::string summary() const;
    // Writes what the nodes say to standard error.
    void show_logs();

private:
    void choose_plan();
    void operate();
    bool clients_are_done() const;
    void observe();
    void look_at(SimulatedNode& node);
    void note_failure(const std::string& what);

    NodeRole role_of(std::size_t node) const;
    std::uint32_t acks_required() const { return flaws_.needs_no_acks ? 0 : plan_.min_acks; }
    bool start(std::size_t node);
    void restart_failed();
    void mend_until(const std::function<bool()>& is_so, const char* otherwise);
    void break_something();
    void crash_something();
    void crash_at_a_write();
    void count_log(const std::string& line);
    void cut_something();
    void spoil_disk();
    void step_clock();
    void check_times(SimulatedNode& node);
    void crowd();
    void subscribe_strangers();
    void save_snapshot();
    void fail_over();
    std::optional<std::size_t> find_successor();
    void heal();
    void check_end();
    bool all_have_everything();
    void check_counters(Database& database, const std::string& where);
    void pause(std::uint64_t ms_max);

    const std::uint64_t seed_;
    const SimulationFlaws flaws_;
    Scheduler scheduler_;
    SimulatedNetwork network_;
    SimulationPlan plan_;
    std::vector<std::unique_ptr<SimulatedNode>> nodes_;
    std::vector<std::unique_ptr<SimulatedClient>> clients_;
    std::unique_ptr<SimulatedClient> reader_;
    std::vector<std::unique_ptr<replica::PeerStream>> crowd_;
    std::vector<std::unique_ptr<replica::LineClient>> strangers_;  // that follow
    std::size_t master_ = 0;
    std::vector<std::optional<std::size_t>> sources_;  // whom each node follows
    CounterLedger ledger_;
    std::string failure_;
    bool is_over_ = false;
    // How far the times of events were looked at, by node, and when.
    struct Checked {
        Lsn lsn = 0;
        std::int64_t at_ms = 0;
    };
    std::map<std::string, Checked> times_checked_;
    std::map<std::string, Digest> digests_;  // by place in a history
    std::map<std::string, std::uint64_t> counts_;
};

}  // namespace karma::test
