#include "tests/simulation/disorder.h"

#include <algorithm>
#include <cstdio>

#include "tests/support/json.h"

namespace karma::test {

Disorder::Disorder(std::uint64_t seed, DisorderKind kind)
    : seed_(seed),
      kind_(kind),
      scheduler_(seed),
      network_(scheduler_),
      chronicle_(scheduler_, [this](const std::string& what) { note_failure(what); }) {
    choose_plan();
    for (std::size_t i = 0; i < nodes_count; ++i) {
        nodes_.push_back(std::make_unique<SimulatedNode>(name_of(i), scheduler_, network_));
        nodes_.back()->on_log = [this, i](const std::string&, const std::string& line) { on_log(i, line); };
        nodes_.back()->on_ended = [this, i] { chronicle_.look_at(*nodes_[i]); };
        roles_.push_back(i == 0 ? master() : follower_of(0));
    }
    WriterView view;
    view.any_node = [this] { return name_of(scheduler_.between(0, cluster_count - 1)); };
    view.is_over = [this] { return is_over_; };
    view.next_write = [this] { return ++writes_; };
    view.patience = std::chrono::milliseconds(plan_.ack_timeout_ms + 200);
    view.acknowledged = [this](std::uint64_t write, const std::string& node,
                               Scheduler::Clock::time_point came_at) {
        look_at_all();
        const SimulatedNode& from = *nodes_[static_cast<std::size_t>(node.back() - '0')];
        // A reply may be of the daemon before, with other options.
        const bool is_of_this = scheduler_.now() - from.started_at() > std::chrono::seconds(1);
        chronicle_.acknowledge(write, node, is_of_this ? from.role().min_acks : 0, came_at);
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
    if (scheduler_.one_in(3)) {
        // One that has lost what it had must not be a master again by mistake.
        plan_.keeps_nothing = scheduler_.one_in(2);
        plan_.without_sync = scheduler_.between(plan_.keeps_nothing ? 1 : 0, cluster_count - 1);
    }
    plan_.retention_bytes = scheduler_.one_in(2) ? 0 : 2'000;
    plan_.ack_timeout_ms = static_cast<std::uint32_t>(scheduler_.between(10, 500));
    if (!plan_.is_careful && scheduler_.one_in(2)) {
        plan_.ack_timeout_ms = 20'000;  // replies wait while one master takes the place of the other
    }
    plan_.clocks_step = scheduler_.one_in(2);
    plan_.clients = scheduler_.between(1, 3);
    plan_.mistakes = scheduler_.between(2, 9);
    if (kind_ == DisorderKind::lost_masters) {
        plan_.is_careful = true;
        plan_.failover_unsafe = false;
        plan_.is_order_left_on = false;
        plan_.min_acks = 1;
        plan_.failover_ms = static_cast<std::uint32_t>(scheduler_.between(500, 900));
        plan_.ack_timeout_ms = 300;
        plan_.without_sync.reset();
        plan_.clocks_step = false;
        plan_.clients = 3;
    }
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
    show("operator: " + what);
}

void Disorder::show(const std::string& line) const {
    if (shows_logs_) {
        const auto us =
            std::chrono::duration_cast<std::chrono::microseconds>(scheduler_.now().time_since_epoch());
        std::fprintf(stderr, "%lld.%06lld %s\n", static_cast<long long>(us.count() / 1'000'000),
                     static_cast<long long>(us.count() % 1'000'000), line.c_str());
    }
}

void Disorder::on_log(std::size_t node, const std::string& line) {
    const auto says = [&](const char* event) { return line.find(event) != std::string::npos; };
    show(name_of(node) + " " + line);
    if (says("\"failed_over\"")) {
        ++counts_["failovers"];
        check_failover(node);
        if (!plan_.failover_unsafe && plan_.min_acks != 0) {
            chronicle_.note_safe_epoch(*nodes_[node]);
        }
    } else if (says("\"state_taken\"")) {
        ++counts_["states taken"];
    } else if (says("\"discarded_events_missing\"")) {
        chronicle_.note_missing(name_of(node), as_number(member(parse_json(line), "last_lsn")));
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
        check_claims();
        scheduler_.sleep(std::chrono::microseconds(scheduler_.between(100, 10'000)));
    }
}

void Disorder::look_at_all() {
    for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
        chronicle_.look_at(*node);
    }
    if (!database_.is_known() && !is_repairing_) {
        database_ = chronicle_.database_of(name_of(0));
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
    role.source = name_of(source);
    role.failover_ms = is_repairing_ ? 0 : plan_.failover_ms;
    role.order = is_order_on_ ? "true" : "";
    if (plan_.has_small_records) {
        role.records_max = 3;
    }
    return role;
}

NodeRole Disorder::as_set_up(std::size_t node, NodeRole role) const {
    if (plan_.without_sync == node) {
        role.syncs = false;
        role.keeps_nothing = plan_.keeps_nothing && !is_repairing_ && role.source.has_value();
    }
    return role;
}

/// False when it cannot be started, for now.
bool Disorder::start(std::size_t node, const NodeRole& as_told) {
    const NodeRole role = as_set_up(node, as_told);
    nodes_[node]->stop();
    if (!role.syncs) {
        chronicle_.forget(name_of(node));  // a loss of power may have taken anything
    }
    if (node < cluster_count) {
        disturb();
    }
    roles_[node] = role;
    try {
        nodes_[node]->start(role);
        chronicle_.look_at(*nodes_[node]);
        return true;
    } catch (const StorageError&) {
        nodes_[node]->crash(false);
        return false;
    } catch (const std::exception& failure) {
        note_failure(name_of(node) + " does not start: " + failure.what());
        return false;
    }
}

void Disorder::crash(std::size_t node) {
    look_at_all();
    disturb();
    chronicle_.note_crash(scheduler_.now());
    nodes_[node]->crash(plan_.loses_power && scheduler_.one_in(2));
}

void Disorder::heal() {
    network_.heal();
    disturb();
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

}  // namespace karma::test
