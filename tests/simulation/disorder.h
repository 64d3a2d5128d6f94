#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/chronicle.h"
#include "tests/simulation/writer.h"

namespace karma::test {

class SimulatedKarma1;

// What a seed has decided on.
struct DisorderPlan {
    std::uint32_t min_acks = 0;
    std::uint32_t failover_ms = 0;
    bool is_careful = true;  // nothing is done that may lose an acknowledged write
    bool failover_unsafe = false;
    bool loses_power = true;
    bool commits_in_background = false;
    bool is_order_left_on = false;
    std::optional<std::size_t> without_sync;  // a node of the cluster that does not sync to its disk,
    bool keeps_nothing = false;               // or has none
    bool clocks_step = false;                 // and some are wrong from the start on
    bool has_small_records = false;           // followers are started with smaller idempotency limits
    std::uint64_t retention_bytes = 0;
    std::uint32_t ack_timeout_ms = 300;
    std::size_t clients = 1;
    std::size_t mistakes = 5;
};

// What the operator does in a run.
enum class DisorderKind : std::uint8_t {
    mistakes,      // all that is said below
    lost_masters,  // no mistakes: masters are lost, again and again, while one of their followers is behind
};

// Three nodes that replace their master by themselves or not, two more machines, and an operator who makes
// mistakes: starts copies, strangers and old backups, follows the wrong node, swaps roles, promotes whomever
// and two at once, leaves an order on. The chronicle says what must hold nevertheless. At the end the
// operator repairs it all by the documented commands.
class Disorder {
public:
    explicit Disorder(std::uint64_t seed, DisorderKind kind = DisorderKind::mistakes);

    // Runs to the end and says what was wrong; empty when nothing was.
    std::string run();

    std::uint64_t trace() const noexcept { return scheduler_.trace(); }
    std::uint64_t steps() const noexcept { return scheduler_.steps(); }
    std::string summary() const;
    // Writes what the nodes say to standard error.
    void show_logs() { shows_logs_ = true; }

private:
    static constexpr std::size_t nodes_count = 5;
    static constexpr std::size_t cluster_count = 3;  // the others are spare

    static std::string name_of(std::size_t node) { return "node-" + std::to_string(node); }
    void choose_plan();
    void observe();
    void look_at_all();
    void check_claims();
    void check_doubt(std::size_t node);
    void check_epochs(std::size_t node);
    void check_failover(std::size_t node);
    // Where the sources of a node end.
    struct Behind {
        enum class Kind { nobody, failed, master } kind = Kind::nobody;
        std::string path;  // how it comes there: another text when something on the way has changed
    };
    Behind what_is_behind(std::size_t node) const;
    void disturb() { disturbed_at_ = scheduler_.now(); }
    void on_log(std::size_t node, const std::string& line);
    void note_failure(const std::string& what);
    void note(const std::string& what);
    void show(const std::string& line) const;
    void pause(std::uint64_t ms_max);

    NodeRole as_set_up(std::size_t node, NodeRole role) const;
    NodeRole follower_of(std::size_t source) const;
    NodeRole master() const;
    bool start(std::size_t node, const NodeRole& as_told);
    void crash(std::size_t node);
    void heal();
    void restart_dead();
    std::optional<std::size_t> find_master() const;

    void operate();
    void err();
    void lose_masters();
    void lose_master_behind_one();
    void break_something();
    void set_clocks();
    void step_clock();
    void err_harmlessly();
    void err_badly();
    void follow_wrong_node();
    void copy_storage(bool as_master);
    void start_stranger(bool as_source);
    void swap_roles();
    void promote(std::size_t node, bool is_forced);
    void promote_two();
    // In disorder_fences.cpp:
    bool follow_anew(std::size_t node, std::size_t source);
    bool is_master(std::size_t node) const;
    void execute_noise(std::size_t node);
    void fence_with_open_group();
    void tell_later();
    // In disorder_others.cpp:
    void meet_others();
    bool is_spare(std::size_t node) const;
    void begin_anew(std::size_t node);
    bool comes_true_within(std::chrono::seconds time, const std::function<bool()>& is_so);
    void forget_token();
    void lock_master();
    void follow_without_log();
    void follow_other_version();
    // In disorder_karma1.cpp:
    void follow_karma1();
    void check_karma1(std::size_t node, const std::vector<std::uint64_t>& keys);
    void lose_karma1_tail(SimulatedKarma1& source, std::size_t node, const NodeRole& role);
    void promote_back_and_forth();
    void write_noise(std::size_t node);
    void promote_half_way();
    void turn_away();
    void follow_nobody_together();
    void name_epoch_far_ahead();

    std::string described_nodes();
    void repair();
    bool promote_forced(std::size_t node);
    std::optional<std::size_t> choose_final_master();
    std::optional<std::size_t> find_fullest() const;
    bool are_equal(std::size_t master);
    void check_end();

    const std::uint64_t seed_;
    const DisorderKind kind_;
    Scheduler scheduler_;
    SimulatedNetwork network_;
    DisorderPlan plan_;
    std::vector<std::unique_ptr<SimulatedNode>> nodes_;
    std::vector<NodeRole> roles_;  // as each was started last
    std::vector<std::unique_ptr<SimulatedWriter>> clients_;
    std::unique_ptr<MemoryStorage> backup_;
    Chronicle chronicle_;
    DatabaseId database_;  // of the cluster
    std::uint64_t writes_ = 0;
    // A number beyond those of the cluster's own epochs.
    static constexpr std::uint64_t epoch_of_strangers = 1'000;
    std::vector<DatabaseId> strangers_;
    // The nodes that have no master behind them: since when, and on which path.
    std::map<std::size_t, std::pair<Scheduler::Clock::time_point, std::string>> without_master_;
    Scheduler::Clock::time_point disturbed_at_;  // by crashes, cuts, bad disks
    bool is_order_on_ = false;
    bool operator_is_done_ = false;
    bool is_repairing_ = false;
    bool is_over_ = false;
    bool shows_logs_ = false;
    std::string failure_;
    std::map<std::string, std::uint64_t> counts_;
};

}  // namespace karma::test
