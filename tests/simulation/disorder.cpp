#include "tests/simulation/disorder.h"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include "engine/error.h"
#include "engine/request.h"
#include "tests/support/json.h"

namespace karma::test {
namespace {

constexpr std::chrono::hours eight_days(8 * 24);

std::string disorder_name(std::size_t node) { return "node-" + std::to_string(node); }

}  // namespace

Disorder::Disorder(std::uint64_t seed)
    : seed_(seed),
      scheduler_(seed),
      network_(scheduler_),
      chronicle_([this](const std::string& what) { note_failure(what); }) {
    choose_plan();
    for (std::size_t i = 0; i < nodes_count; ++i) {
        nodes_.push_back(std::make_unique<SimulatedNode>(disorder_name(i), scheduler_, network_));
        nodes_.back()->on_log = [this, i](const std::string&, const std::string& line) { on_log(i, line); };
        nodes_.back()->on_ended = [this, i] { chronicle_.look_at(*nodes_[i]); };
        roles_.push_back(i == 0 ? master() : follower_of(0));
    }
    WriterView view;
    view.any_node = [this] { return disorder_name(scheduler_.between(0, cluster_count - 1)); };
    view.is_over = [this] { return is_over_; };
    view.next_write = [this] { return ++writes_; };
    view.acknowledged = [this](std::uint64_t write, const std::string& node) {
        look_at_all();
        const SimulatedNode& from = *nodes_[static_cast<std::size_t>(node.back() - '0')];
        // A reply may be of the daemon before, with other options.
        const bool is_of_this = scheduler_.now() - from.started_at() > std::chrono::seconds(1);
        chronicle_.acknowledge(write, node, is_of_this ? from.role().min_acks : 0, scheduler_.now());
    };
    for (std::size_t i = 0; i < plan_.clients; ++i) {
        clients_.push_back(std::make_unique<SimulatedWriter>("client-" + std::to_string(i), network_, view));
    }
}

void Disorder::choose_plan() {
    plan_.min_acks = static_cast<std::uint32_t>(scheduler_.between(0, 2));
    plan_.failover_ms = scheduler_.one_in(3) ? 0 : static_cast<std::uint32_t>(scheduler_.between(300, 900));
    plan_.is_careful = scheduler_.one_in(2);
    plan_.failover_unsafe = !plan_.is_careful && scheduler_.one_in(4);
    plan_.loses_power = !scheduler_.one_in(3);
    plan_.commits_in_background = scheduler_.one_in(2);
    plan_.is_order_left_on = !plan_.is_careful && scheduler_.one_in(3);
    plan_.has_small_records = scheduler_.one_in(3);
    plan_.retention_bytes = scheduler_.one_in(2) ? 0 : 2'000;
    plan_.ack_timeout_ms = static_cast<std::uint32_t>(scheduler_.between(10, 500));
    plan_.clocks_step = scheduler_.one_in(2);
    plan_.clients = scheduler_.between(1, 3);
    plan_.mistakes = scheduler_.between(2, 9);
}

std::string Disorder::run() {
    set_clocks();
    const auto main = scheduler_.start_thread([this] {
        for (std::size_t i = 0; i < cluster_count; ++i) {
            start(i, roles_[i]);
        }
        {
            const auto observer = scheduler_.start_thread([this] { observe(); });
            std::vector<std::unique_ptr<replica::Thread>> running;
            for (const std::unique_ptr<SimulatedWriter>& client : clients_) {
                running.push_back(
                    scheduler_.start_thread([&] { client->run([this] { return operator_is_done_; }); }));
            }
            running.push_back(scheduler_.start_thread([this] { operate(); }));
            running.clear();
            repair();
            check_end();
            is_over_ = true;
        }
        for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
            node->stop();
        }
    });
    constexpr std::uint64_t steps_max = 3'000'000;
    scheduler_.run(steps_max, std::chrono::minutes(30));
    return failure_.empty() ? scheduler_.failure() : failure_;
}

std::string Disorder::summary() const {
    std::string text = std::string(plan_.is_careful ? "careful" : "careless") + ", " +
                       std::to_string(plan_.min_acks) + " acks, failover after " +
                       std::to_string(plan_.failover_ms) + " ms, " +
                       std::to_string(chronicle_.acknowledged()) + " of " + std::to_string(writes_) +
                       " acknowledged, " + std::to_string(chronicle_.given_up()) + " given up by " +
                       std::to_string(chronicle_.orders()) + " orders, " + std::to_string(steps()) + " steps";
    for (const auto& [what, count] : counts_) {
        text += ", " + what + " " + std::to_string(count);
    }
    return text;
}

void Disorder::note_failure(const std::string& what) {
    if (failure_.empty()) {
        const auto ms =
            std::chrono::duration_cast<std::chrono::milliseconds>(scheduler_.now().time_since_epoch());
        failure_ = what + " (at " + std::to_string(ms.count()) + " ms)";
    }
    is_over_ = true;
}

void Disorder::note(const std::string& what) {
    ++counts_[what];
    if (shows_logs_) {
        const auto us =
            std::chrono::duration_cast<std::chrono::microseconds>(scheduler_.now().time_since_epoch());
        std::fprintf(stderr, "%lld.%06lld operator: %s\n", static_cast<long long>(us.count() / 1'000'000),
                     static_cast<long long>(us.count() % 1'000'000), what.c_str());
    }
}

void Disorder::on_log(std::size_t node, const std::string& line) {
    const auto says = [&](const char* event) { return line.find(event) != std::string::npos; };
    if (shows_logs_) {
        note("(" + disorder_name(node) + ") " + line);
    }
    if (says("\"failed_over\"")) {
        ++counts_["failovers"];
        if (!plan_.failover_unsafe && plan_.min_acks != 0) {
            chronicle_.note_safe_epoch(*nodes_[node]);
        }
    } else if (says("\"state_taken\"")) {
        ++counts_["states taken"];
    } else if (says("\"discarded_events_missing\"")) {
        chronicle_.note_missing(disorder_name(node), as_number(member(parse_json(line), "last_lsn")));
    } else if (says("\"discarded\"")) {
        ++counts_["discarded"];
    } else if (says("\"follower_refused\"") || says("\"refused\"") || says("\"stranger\"")) {
        ++counts_["refusals"];
    }
}

// ---- what is looked at all the time

void Disorder::observe() {
    while (!is_over_) {
        look_at_all();
        scheduler_.sleep(std::chrono::microseconds(scheduler_.between(100, 10'000)));
    }
}

void Disorder::look_at_all() {
    for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
        chronicle_.look_at(*node);
    }
    if (!database_.is_known() && !is_repairing_) {
        database_ = chronicle_.database_of(disorder_name(0));
    }
}

// ---- nodes

NodeRole Disorder::master() const {
    NodeRole role;
    role.min_acks = is_repairing_ ? 0 : plan_.min_acks;
    role.commits_in_background = plan_.commits_in_background;
    role.ack_timeout_ms = plan_.ack_timeout_ms;
    role.failover_unsafe = plan_.failover_unsafe;
    role.retention_bytes = plan_.retention_bytes;
    return role;
}

NodeRole Disorder::follower_of(std::size_t source) const {
    NodeRole role = master();
    role.source = disorder_name(source);
    role.failover_ms = is_repairing_ ? 0 : plan_.failover_ms;
    role.order = is_order_on_ ? "true" : "";
    if (plan_.has_small_records) {
        role.records_max = 3;
    }
    return role;
}

/// False when it cannot be started, for now.
bool Disorder::start(std::size_t node, const NodeRole& role) {
    nodes_[node]->stop();
    roles_[node] = role;
    try {
        nodes_[node]->start(role);
        chronicle_.look_at(*nodes_[node]);
        return true;
    } catch (const StorageError&) {
        nodes_[node]->crash(false);
        return false;
    } catch (const std::exception& failure) {
        note_failure(disorder_name(node) + " does not start: " + failure.what());
        return false;
    }
}

void Disorder::crash(std::size_t node) {
    look_at_all();
    chronicle_.note_crash(scheduler_.now());
    nodes_[node]->crash(plan_.loses_power && scheduler_.one_in(2));
}

void Disorder::heal() {
    network_.heal();
    for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
        node->disk().failing_writes = 0;
        node->disk().failing_reads = 0;
        node->disk().crash_in = 0;
    }
}

void Disorder::restart_dead() {
    for (std::size_t i = 0; i < nodes_.size() && !is_over_; ++i) {
        const Database* const database = nodes_[i]->database();
        if (i < cluster_count && (database == nullptr || database->has_failed())) {
            crash(i);
            start(i, roles_[i]);
        }
    }
}

/// Of the cluster: the one of the latest epoch.
std::optional<std::size_t> Disorder::find_master() const {
    std::optional<std::size_t> found;
    Epoch latest;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        const Database* const database = nodes_[i]->database();
        if (database == nullptr || database->role() != Role::master || database->has_failed() ||
            (database_.is_known() && database->database_id() != database_)) {
            continue;
        }
        const Epoch last = last_epoch(database->epochs());
        if (!found || last.is_later_than(latest)) {
            found = i;
            latest = last;
        }
    }
    return found;
}

void Disorder::pause(std::uint64_t ms_max) {
    scheduler_.sleep(std::chrono::microseconds(scheduler_.between(0, ms_max * 1'000)));
}

// ---- the operator

void Disorder::operate() {
    pause(1'500);
    for (std::size_t i = 0; i < plan_.mistakes && !is_over_; ++i) {
        if (scheduler_.one_in(2)) {
            break_something();
        } else if (plan_.is_careful || scheduler_.one_in(2)) {
            err_harmlessly();
        } else {
            err_badly();
        }
        pause(scheduler_.one_in(3) ? 3'000 : 700);
        if (scheduler_.one_in(2)) {
            heal();
        }
        if (scheduler_.one_in(2)) {
            restart_dead();
        }
        if (!backup_ && scheduler_.one_in(3)) {
            backup_ = nodes_[scheduler_.between(0, cluster_count - 1)]->disk().copy();
        }
    }
    heal();
    restart_dead();
    pause(2'000);
    operator_is_done_ = true;
}

void Disorder::break_something() {
    const std::size_t node = scheduler_.between(0, cluster_count - 1);
    const std::size_t other = scheduler_.between(0, cluster_count - 1);
    if (plan_.clocks_step && scheduler_.one_in(4)) {
        return step_clock();
    }
    switch (scheduler_.between(0, 5)) {
        case 0:
        case 1:
            note("crashes");
            crash(node);
            if (scheduler_.one_in(2)) {
                pause(3'000);
            }
            start(node, roles_[node]);
            break;
        case 2:
            note("crashes at a write");
            chronicle_.note_crash(scheduler_.now() + std::chrono::seconds(60));  // some time from now
            nodes_[node]->crash_at_write(scheduler_.between(1, 20),
                                         plan_.loses_power && scheduler_.one_in(2));
            break;
        case 3: network_.break_one(); break;
        case 4:
            note("bad disks");
            nodes_[node]->disk().failing_writes = scheduler_.between(2, 20);
            break;
        default:
            note("cuts");
            network_.cut(disorder_name(node), disorder_name(other));
            if (scheduler_.one_in(2)) {
                network_.cut(disorder_name(other), disorder_name(node));
            }
            pause(2'500);
    }
}

void Disorder::set_clocks() {
    for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
        if (plan_.clocks_step && scheduler_.one_in(3)) {
            node->clock_ahead = std::chrono::hours(24 * scheduler_.between(0, 16)) - eight_days;
        }
    }
}

/// Idempotency records live for seven days: a clock that is eight ahead must not end them. A daemon that is
/// started meanwhile knows no other time.
void Disorder::step_clock() {
    const std::size_t node = scheduler_.between(0, cluster_count - 1);
    std::chrono::milliseconds& ahead = nodes_[node]->clock_ahead;
    const std::chrono::milliseconds before = ahead;
    const auto days = std::chrono::hours(24);
    note("clock steps");
    switch (scheduler_.between(0, 3)) {
        case 0: ahead += days; break;
        case 1: ahead -= days; break;
        case 2: ahead += eight_days; break;
        default: ahead = std::chrono::milliseconds(0);
    }
    if (scheduler_.one_in(2)) {
        crash(node);
        start(node, roles_[node]);
    }
    if (scheduler_.one_in(2)) {
        pause(3'000);
        ahead = before;
    }
}

/// What must not lose anything.
void Disorder::err_harmlessly() {
    switch (scheduler_.between(0, 3)) {
        case 0: return follow_wrong_node();
        case 1: return copy_storage(false);
        case 2: return start_stranger(false);
        default:
            // Another one comes and finds no room, or a name that is taken.
            const std::size_t node = scheduler_.between(cluster_count, nodes_count - 1);
            NodeRole role = follower_of(scheduler_.between(0, cluster_count - 1));
            role.known_as = disorder_name(scheduler_.between(0, cluster_count - 1));
            note("names taken");
            start(node, role);
    }
}

/// A follower: itself, a ring, one that follows nobody, an empty one.
void Disorder::follow_wrong_node() {
    const std::size_t node = scheduler_.between(0, nodes_count - 1);
    if (nodes_[node]->database() != nullptr && nodes_[node]->database()->role() != Role::slave) {
        return;
    }
    NodeRole role = follower_of(scheduler_.between(0, nodes_count - 1));
    if (scheduler_.one_in(4)) {
        role.source.reset();
        role.follows_nobody = true;
    }
    role.followers_max = scheduler_.between(1, 3);
    note("wrong sources");
    start(node, role);
}

/// In another directory: what another node has now, or had once.
void Disorder::copy_storage(bool as_master) {
    const std::size_t node = scheduler_.between(cluster_count, nodes_count - 1);
    const std::size_t from = scheduler_.between(0, cluster_count - 1);
    nodes_[node]->stop();
    chronicle_.forget(disorder_name(node));
    const bool is_old = backup_ && scheduler_.one_in(2);
    nodes_[node]->move_in(is_old ? *backup_ : *nodes_[from]->disk().copy());
    note(is_old ? "old backups" : "copies");
    start(node, as_master ? master() : follower_of(scheduler_.between(0, cluster_count - 1)));
}

/// Another database: as a follower, or as what a node of the cluster follows.
void Disorder::start_stranger(bool as_source) {
    const std::size_t stranger = scheduler_.between(cluster_count, nodes_count - 1);
    nodes_[stranger]->stop();
    chronicle_.forget(disorder_name(stranger));
    nodes_[stranger]->move_in(MemoryStorage());
    NodeRole alone = master();
    alone.min_acks = 0;
    note("strangers");
    if (!start(stranger, alone)) {
        return;
    }
    for (std::uint64_t left = scheduler_.between(1, 20); left > 0 && nodes_[stranger]->database(); --left) {
        nodes_[stranger]->database()->call(Mutation{mutation::Increment{"stranger", left}});
    }
    if (as_source) {
        start(scheduler_.between(0, cluster_count - 1), follower_of(stranger));
    } else {
        start(stranger, follower_of(scheduler_.between(0, cluster_count - 1)));
    }
}

/// What may lose what was acknowledged, by itself or with what comes behind it.
void Disorder::err_badly() {
    if (plan_.is_order_left_on && !is_order_on_) {
        is_order_on_ = true;
        note("orders left on");
    }
    switch (scheduler_.between(0, 5)) {
        case 0: return copy_storage(true);
        case 1: return start_stranger(true);
        case 2: return swap_roles();
        case 3: return promote_two();
        default: return promote(scheduler_.between(0, cluster_count - 1), scheduler_.one_in(3));
    }
}

void Disorder::swap_roles() {
    const std::size_t node = scheduler_.between(0, cluster_count - 1);
    const bool is_master =
        nodes_[node]->database() != nullptr && nodes_[node]->database()->role() == Role::master;
    note("roles swapped");
    start(node, is_master ? follower_of(scheduler_.between(0, nodes_count - 1)) : master());
}

void Disorder::promote(std::size_t node, bool is_forced) {
    if (nodes_[node]->database() == nullptr) {
        return;
    }
    try {
        nodes_[node]->promote(is_forced);
        note("promotions");
    } catch (const std::exception&) {
        note("refused promotions");
    }
}

void Disorder::promote_two() {
    std::vector<std::unique_ptr<replica::Thread>> running;
    running.push_back(scheduler_.start_thread([this] { promote(1, false); }));
    promote(2, false);
}

// ---- the end

/// The master of the latest epoch; where there is none, the one that has most is promoted. Nobody may have
/// anything of the cluster's database any more, or anything at all.
std::optional<std::size_t> Disorder::choose_final_master() {
    if (const std::optional<std::size_t> found = find_master()) {
        return found;
    }
    std::optional<std::size_t> best = find_fullest();
    if (!best && database_.is_known()) {
        database_ = {};
        best = find_master();
        return best ? best : choose_final_master();
    }
    if (!best) {
        note("nothing left");
        return start(0, master()) ? find_master() : std::nullopt;
    }
    return promote_forced(*best) ? best : std::nullopt;
}

/// Of the cluster: the one that has most of the latest epoch.
std::optional<std::size_t> Disorder::find_fullest() const {
    std::optional<std::size_t> best;
    const auto rank = [](const Database& of) {
        return std::pair(last_epoch(of.epochs()).number, of.durable_lsn());
    };
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        const Database* const database = nodes_[i]->database();
        if (database == nullptr || database->has_failed() || database->durable_lsn() == 0 ||
            (database_.is_known() && database->database_id() != database_)) {
            continue;
        }
        if (!best || rank(*database) > rank(*nodes_[*best]->database())) {
            best = i;
        }
    }
    return best;
}

bool Disorder::promote_forced(std::size_t node) {
    NodeRole role = master();
    role.follows_nobody = true;  // a fenced one is promoted as a follower
    if (!start(node, role)) {
        return false;
    }
    promote(node, true);
    return nodes_[node]->database() != nullptr && nodes_[node]->database()->role() == Role::master;
}

bool Disorder::are_equal(std::size_t master) {
    const Database* const of_master = nodes_[master]->database();
    return of_master != nullptr && of_master->role() == Role::master &&
           std::ranges::all_of(nodes_, [&](const auto& node) {
               const Database* const database = node->database();
               return database != nullptr && database->database_id() == of_master->database_id() &&
                      database->durable_lsn() == of_master->last_lsn() &&
                      database->epochs() == of_master->epochs();
           });
}

std::string Disorder::described_nodes() {
    std::ostringstream text;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        text << (i == 0 ? "" : "; ") << disorder_name(i);
        const Database* const database = nodes_[i]->database();
        if (database == nullptr) {
            text << " does not run";
            continue;
        }
        text << (database->role() == Role::master ? " is master" : "")
             << (database->has_failed() ? " has failed" : "") << " at LSN " << database->durable_lsn()
             << " of " << database->last_lsn() << ", database " << database->database_id().low << ", epochs";
        for (const Epoch& epoch : database->epochs()) {
            text << " " << epoch.number << " from " << epoch.first_lsn;
        }
    }
    return text.str();
}

void Disorder::repair() {
    is_repairing_ = true;
    is_order_on_ = false;
    const auto end = scheduler_.now() + std::chrono::minutes(5);
    std::optional<std::size_t> master;
    while (!is_over_) {
        if (scheduler_.now() > end) {
            return note_failure("the nodes do not become equal: " + described_nodes());
        }
        const std::optional<std::size_t> now = choose_final_master();
        if (now && now != master) {
            master = now;
            if (roles_[*master].followers_max < nodes_.size()) {
                NodeRole role = roles_[*master];
                role.followers_max = NodeRole().followers_max;
                start(*master, role);
            }
            for (std::size_t i = 0; i < nodes_.size(); ++i) {
                if (i != *master) {
                    NodeRole role = follower_of(*master);
                    role.order.reset();  // another one for each start
                    start(i, role);
                }
            }
        }
        if (master && are_equal(*master)) {
            return;
        }
        pause(2'000);
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            const Database* const database = nodes_[i]->database();
            if (master && i != *master && database != nullptr && database->role() == Role::master &&
                database->database_id() != chronicle_.database_of(disorder_name(*master))) {
                // Promoted with another database it stays master of that: it gets an empty directory.
                nodes_[i]->stop();
                chronicle_.forget(disorder_name(i));
                nodes_[i]->move_in(MemoryStorage());
                note("emptied");
                start(i, roles_[i]);
            } else if (database == nullptr || database->has_failed() || nodes_[i]->wants_order()) {
                start(i, roles_[i]);
            }
        }
    }
}

void Disorder::check_end() {
    const std::optional<std::size_t> master = find_master();
    if (is_over_ || !master) {
        return;
    }
    look_at_all();
    chronicle_.check_acknowledged(*nodes_[*master]);
    // Whoever has the history has the idempotency records: what is sent again does not count again.
    const std::size_t next = (*master + scheduler_.between(1, nodes_count - 1)) % nodes_count;
    for (const std::size_t node : {*master, next}) {
        if (is_over_ || (node == next && !promote_forced(next))) {
            break;
        }
        for (const std::unique_ptr<SimulatedWriter>& client : clients_) {
            client->send_again(disorder_name(node));
        }
        look_at_all();
        chronicle_.check_state(*nodes_[node]);
        const auto end = scheduler_.now() + std::chrono::minutes(5);
        while (node == *master && !is_over_ && !are_equal(*master)) {
            if (scheduler_.now() > end) {
                return note_failure("the nodes do not become equal again: " + described_nodes());
            }
            pause(100);
        }
        for (std::size_t i = 0; i < nodes_.size() && node == *master && !is_over_; ++i) {
            if (nodes_[i]->database()->digest() != nodes_[node]->database()->digest()) {
                return note_failure(disorder_name(i) + " differs from the master at the end");
            }
        }
    }
}

}  // namespace karma::test
