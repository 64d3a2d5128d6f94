#include "tests/simulation/simulation.h"

#include <algorithm>
#include <cstdio>
#include <exception>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "net/client_connection.h"
#include "persist/database_clock.h"
#include "replica/handshake.h"

namespace karma::test {
namespace {

using std::chrono::milliseconds;

/// As whoever watches it sees: a log that cannot be written, or records that could not be read.
bool says_that_it_failed(Database& database) {
    const Reply reply = database.call(query::Health{});
    const auto* const health = std::get_if<reply::Health>(&reply);
    return health != nullptr && health->status.starts_with("failed");
}

std::string name_of(std::size_t node) { return "node-" + std::to_string(node); }

}  // namespace

Simulation::Simulation(std::uint64_t seed, const SimulationFlaws& flaws)
    : seed_(seed), flaws_(flaws), scheduler_(seed), network_(scheduler_) {
    choose_plan();
    for (std::size_t i = 0; i < plan_.nodes; ++i) {
        nodes_.push_back(std::make_unique<SimulatedNode>(name_of(i), scheduler_, network_));
        nodes_.back()->disk().ignores_sync = flaws_.ignores_sync;
        nodes_.back()->on_log = [this](const std::string&, const std::string& line) { count_log(line); };
        sources_.push_back(i == 0 ? std::nullopt : std::optional<std::size_t>(plan_.is_chain ? i - 1 : 0));
    }
    ClientView view;
    view.master = [this] { return name_of(master_); };
    view.any_node = [this] { return name_of(scheduler_.between(0, nodes_.size() - 1)); };
    view.is_over = [this] { return is_over_; };
    view.fail = [this](const std::string& what) { note_failure(what); };
    view.masters_stay = !plan_.promotes;
    view.loads_snapshots = plan_.min_acks == 0;
    view.retries_anew = flaws_.retries_anew;
    for (std::size_t i = 0; i < plan_.clients; ++i) {
        clients_.push_back(
            std::make_unique<SimulatedClient>("client-" + std::to_string(i), network_, ledger_, view));
    }
    reader_ = std::make_unique<SimulatedClient>("reader", network_, ledger_, view);
}

void Simulation::choose_plan() {
    plan_.nodes = scheduler_.between(1, 3);
    plan_.is_chain = plan_.nodes == 3 && scheduler_.one_in(2);
    plan_.promotes = plan_.nodes == 3 && scheduler_.one_in(2);
    plan_.loses_power = !scheduler_.one_in(4);
    plan_.clients = scheduler_.between(1, 4);
    plan_.requests = scheduler_.between(10, 40);
    plan_.faults = scheduler_.between(0, 12);
    if (plan_.promotes) {
        // Of two followers one may be behind: then it must be the other one that takes over.
        plan_.min_acks = plan_.is_chain ? 1 : static_cast<std::uint32_t>(scheduler_.between(1, 2));
    } else if (plan_.nodes > 1 && scheduler_.one_in(3)) {
        plan_.min_acks = 1;
    }
    plan_.commits_in_background = scheduler_.one_in(2);
    if (scheduler_.one_in(2)) {
        plan_.files_max = scheduler_.between(100, 160);
    }
    if (scheduler_.one_in(3)) {
        plan_.ack_timeout_ms = static_cast<std::uint32_t>(scheduler_.between(2, 50));
    }
}

std::string Simulation::run() {
    const auto main = scheduler_.start_thread([this] {
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            start(i);
        }
        {
            const auto observer = scheduler_.start_thread([this] { observe(); });
            std::vector<std::unique_ptr<replica::Thread>> running;
            for (const std::unique_ptr<SimulatedClient>& client : clients_) {
                running.push_back(scheduler_.start_thread([&] { client->run(plan_.requests); }));
            }
            running.push_back(
                scheduler_.start_thread([this] { reader_->watch([this] { return clients_are_done(); }); }));
            running.push_back(scheduler_.start_thread([this] { operate(); }));
            running.clear();
            check_end();
            is_over_ = true;
        }
        for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
            node->stop();
        }
    });
    constexpr std::uint64_t steps_max = 1'500'000;
    scheduler_.run(steps_max, std::chrono::minutes(30));
    if (failure_.empty()) {
        failure_ = scheduler_.failure();
    }
    return failure_;
}

void Simulation::note_failure(const std::string& what) {
    if (failure_.empty()) {
        const auto ms = std::chrono::duration_cast<milliseconds>(scheduler_.now().time_since_epoch()).count();
        failure_ = what + " (at " + std::to_string(ms) + " ms)";
    }
    is_over_ = true;
}

void Simulation::show_logs() {
    for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
        node->on_log = [this](const std::string& name, const std::string& line) {
            count_log(line);
            const auto us =
                std::chrono::duration_cast<std::chrono::microseconds>(scheduler_.now().time_since_epoch())
                    .count();
            std::fprintf(stderr, "%lld.%06lld %s %s", static_cast<long long>(us / 1'000'000),
                         static_cast<long long>(us % 1'000'000), name.c_str(), line.c_str());
        };
    }
}

void Simulation::count_log(const std::string& line) {
    if (line.find("\"state_taken\"") != std::string::npos) {
        ++counts_["states taken"];
    }
}

std::string Simulation::summary() const {
    std::string text = std::to_string(plan_.nodes) + " nodes" + (plan_.is_chain ? " in a chain" : "") +
                       (plan_.promotes ? ", masters replaced" : "") + ", " + std::to_string(plan_.min_acks) +
                       " acks, " + std::to_string(plan_.clients) + " clients of " +
                       std::to_string(plan_.requests) + " requests, " + std::to_string(steps()) + " steps";
    for (const auto& [what, count] : counts_) {
        text += ", " + what + " " + std::to_string(count);
    }
    return text;
}

// ---- nodes

NodeRole Simulation::role_of(std::size_t node) const {
    NodeRole role;
    role.commits_only_awaited = flaws_.commits_only_awaited;
    role.commits_in_background = plan_.commits_in_background && !flaws_.commits_only_awaited;
    role.ack_timeout_ms = plan_.ack_timeout_ms;
    role.files_max = plan_.files_max;
    role.limits_clients = !flaws_.limits_no_clients;
    if (sources_[node]) {
        role.source = name_of(*sources_[node]);
    }
    const bool has_followers =
        std::ranges::any_of(sources_, [node](const auto& source) { return source == node; });
    role.min_acks = has_followers || plan_.promotes ? acks_required() : 0;
    return role;
}

/// False when it cannot be started, for now.
bool Simulation::start(std::size_t node) {
    nodes_[node]->stop();
    nodes_[node]->clock_ahead = milliseconds(0);  // one that starts knows no other time
    times_checked_.erase(nodes_[node]->name());
    try {
        nodes_[node]->start(role_of(node));
        look_at(*nodes_[node]);
        return true;
    } catch (const StorageError&) {
        nodes_[node]->crash(false);
        return false;
    } catch (const std::exception& failure) {
        note_failure(nodes_[node]->name() + " does not start: " + failure.what());
        return false;
    }
}

void Simulation::restart_failed() {
    for (std::size_t i = 0; i < nodes_.size() && !is_over_; ++i) {
        Database* const database = nodes_[i]->database();
        if (database == nullptr) {
            start(i);
        } else if (says_that_it_failed(*database)) {
            ++counts_["failed nodes"];
            nodes_[i]->crash(false);
            start(i);
        } else if (nodes_[i]->wants_order()) {
            ++counts_["new orders"];
            start(i);
        }
    }
}

// ---- what is looked at all the time

void Simulation::observe() {
    while (!is_over_) {
        for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
            look_at(*node);
        }
        scheduler_.sleep(std::chrono::microseconds(scheduler_.between(100, 5'000)));
    }
}

/// Whoever has come to the same place of the same history has the same state, now or at any other time.
void Simulation::look_at(SimulatedNode& node) {
    if (node.disk().missing_files != 0) {
        return note_failure(node.name() + " has no file left to go on with its log or a table");
    }
    Database* const database = node.database();
    if (database == nullptr || database->last_lsn() == 0 || database->last_lsn() != database->durable_lsn()) {
        return;
    }
    check_times(node);
    HistoryMark mark;
    Digest digest;
    try {
        mark = database->mark_at(database->last_lsn());
        digest = database->digest();
    } catch (const StorageError&) {
        return;
    }
    if (!mark.checksum) {
        return;
    }
    const Epoch epoch = last_epoch(database->epochs());
    const std::string place = std::to_string(mark.lsn) + " " + std::to_string(*mark.checksum) + " " +
                              std::to_string(epoch.number) + " " + std::to_string(epoch.id);
    const auto [known, is_new] = digests_.emplace(place, digest);
    if (!is_new) {
        ++counts_["digests compared"];
        if (known->second != digest) {
            note_failure(node.name() + " has another state at LSN " + std::to_string(mark.lsn) +
                         " than was there before");
        }
    }
}

/// A clock that is wrong for some seconds gives no event a time that is far from the right one.
void Simulation::check_times(SimulatedNode& node) {
    Database& database = *node.database();
    const Checked now{database.last_lsn(), right_unix_ms(scheduler_)};
    Checked& before = times_checked_[node.name()];
    const bool is_watched = before.lsn != 0 && database.role() == Role::master;
    try {
        if (is_watched && now.lsn > before.lsn && before.lsn + 1 >= database.first_kept_lsn()) {
            database.read_log(before.lsn + 1, [&](const EventGroup& group) {
                read_event_group(group.bytes, [&](const Event& event) {
                    constexpr std::int64_t near_ms = DatabaseClock::tolerated_ms + 100;
                    if (event.lsn > before.lsn && event.lsn <= now.lsn &&
                        (event.time_ms < before.at_ms - near_ms || event.time_ms > now.at_ms + near_ms)) {
                        note_failure(node.name() + ": the time of the event at LSN " +
                                     std::to_string(event.lsn) + " is wrong by " +
                                     std::to_string(event.time_ms - now.at_ms) + " ms");
                    }
                });
                return true;
            });
        }
    } catch (const StorageError&) {
        return;  // another time
    }
    before = now;
}

// ---- the operator

void Simulation::pause(std::uint64_t ms_max) {
    scheduler_.sleep(std::chrono::microseconds(scheduler_.between(0, ms_max * 1'000)));
}

void Simulation::operate() {
    for (std::size_t i = 0; i < plan_.faults && !is_over_; ++i) {
        pause(300);
        break_something();
        if (scheduler_.one_in(2)) {
            pause(200);
            heal();
        }
        if (scheduler_.one_in(2)) {
            restart_failed();
        }
    }
    // Everything is well from here on, and the clients come to their end.
    heal();
    mend_until([this] { return clients_are_done(); }, "the clients do not come to an end");
}

bool Simulation::clients_are_done() const {
    return std::ranges::all_of(clients_, [this](const auto& each) { return each->done() >= plan_.requests; });
}

/// `otherwise`: what is wrong when that takes minutes.
void Simulation::mend_until(const std::function<bool()>& is_so, const char* otherwise) {
    const auto end = scheduler_.now() + std::chrono::minutes(5);
    while (!is_over_ && !is_so()) {
        if (scheduler_.now() > end) {
            return note_failure(otherwise);
        }
        restart_failed();
        pause(100);
    }
}

void Simulation::break_something() {
    switch (scheduler_.between(0, plan_.promotes ? 11 : 9)) {
        case 0:
        case 1: return crash_something();
        case 2:
        case 3: return crash_at_a_write();
        case 4: return network_.break_one();
        case 5: return cut_something();
        case 6: return spoil_disk();
        case 7: return save_snapshot();
        case 8: return crowd();
        case 9: return step_clock();
        default: return fail_over();
    }
}

void Simulation::crash_something() {
    const std::size_t node = scheduler_.between(0, nodes_.size() - 1);
    if (scheduler_.one_in(5)) {
        ++counts_["ends"];
        nodes_[node]->stop();
    } else {
        ++counts_["crashes"];
        nodes_[node]->crash(plan_.loses_power && scheduler_.one_in(2));
    }
    if (scheduler_.one_in(2)) {
        pause(1'500);
    }
    start(node);
}

void Simulation::crash_at_a_write() {
    SimulatedNode& node = *nodes_[scheduler_.between(0, nodes_.size() - 1)];
    ++counts_["crashes at a write"];
    node.crash_at_write(scheduler_.between(1, 20), plan_.loses_power && scheduler_.one_in(2));
    if (scheduler_.one_in(2)) {
        save_snapshot();
    }
    pause(1'000);
}

void Simulation::cut_something() {
    const std::string one = name_of(scheduler_.between(0, nodes_.size() - 1));
    const std::string other =
        scheduler_.one_in(3) ? "client-0" : name_of(scheduler_.between(0, nodes_.size() - 1));
    ++counts_["cuts"];
    network_.cut(one, other);
    if (scheduler_.one_in(2)) {
        network_.cut(other, one);
    }
    pause(2'000);
}

void Simulation::spoil_disk() {
    SimulatedDisk& disk = nodes_[scheduler_.between(0, nodes_.size() - 1)]->disk();
    ++counts_["bad disks"];
    if (scheduler_.one_in(2)) {
        disk.failing_writes = scheduler_.between(1, 20);
    } else {
        disk.failing_reads = scheduler_.between(2, 20);
    }
    pause(300);
}

/// For less than the time after which a step is believed.
void Simulation::step_clock() {
    SimulatedNode& node = *nodes_[scheduler_.between(0, nodes_.size() - 1)];
    const std::chrono::hours by(24 * scheduler_.between(1, 8));
    ++counts_["clock steps"];
    node.clock_ahead = scheduler_.one_in(2) ? milliseconds(by) : -milliseconds(by);
    pause(10'000);
    node.clock_ahead = milliseconds(0);
}

/// Clients that connect, follow or do nothing, and stay: as many as the daemon takes.
void Simulation::crowd() {
    const std::size_t node = scheduler_.between(0, nodes_.size() - 1);
    ++counts_["crowds"];
    if (plan_.nodes == 1 && scheduler_.one_in(2)) {
        subscribe_strangers();
    }
    const std::size_t size = plan_.files_max < 1'000 ? plan_.files_max : 20;
    try {
        for (std::size_t i = 0; i < size; ++i) {
            crowd_.push_back(network_.connect("crowd", {name_of(node), 0, milliseconds(50)}));
        }
    } catch (const net::ConnectionError&) {  // NOLINT(bugprone-empty-catch): it is down, or cut off
    }
    pause(500);
}

void Simulation::subscribe_strangers() {
    try {
        for (std::size_t i = 0; i < plan_.files_max / 2 && !is_over_; ++i) {
            net::Subscription stranger;
            stranger.format = replica::stream_format;
            stranger.name = "stranger-" + std::to_string(i);
            stranger.node_id = 1'000 + i;
            stranger.heartbeat_ms = 1'000;
            stranger.is_empty = true;
            std::unique_ptr<replica::LineClient> line =
                network_.of("crowd").connect({name_of(0), 0, milliseconds(100)});
            if (!replica::read_reply(line->ask(replica::subscribe_line(stranger, ""))).accepted) {
                return;
            }
            strangers_.push_back(std::move(line));
        }
    } catch (const net::ConnectionError&) {  // NOLINT(bugprone-empty-catch): the same
    }
}

void Simulation::save_snapshot() {
    Database* const database = nodes_[scheduler_.between(0, nodes_.size() - 1)]->database();
    try {
        if (database != nullptr && database->save_snapshot_if_changed()) {
            ++counts_["snapshots"];
        }
    } catch (const std::exception&) {
        ++counts_["failed snapshots"];
    }
}

void Simulation::heal() {
    network_.heal();
    crowd_.clear();
    strangers_.clear();
    for (const std::unique_ptr<SimulatedNode>& node : nodes_) {
        node->disk().failing_writes = 0;
        node->disk().failing_reads = 0;
        node->disk().crash_in = 0;
    }
}

/// The follower that has everything that was acknowledged; nothing while that cannot be told.
std::optional<std::size_t> Simulation::find_successor() {
    std::vector<std::size_t> candidates;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (sources_[i] != master_) {
            continue;
        }
        Database* const database = nodes_[i]->database();
        if (database == nullptr || database->has_failed() || database->durable_lsn() == 0) {
            return std::nullopt;  // one that is not whole may have acknowledged before
        }
        candidates.push_back(i);
    }
    if (candidates.empty()) {
        return std::nullopt;
    }
    if (plan_.min_acks == candidates.size() && !flaws_.needs_no_acks) {
        return candidates[scheduler_.between(0, candidates.size() - 1)];
    }
    return *std::ranges::max_element(candidates, {}, [this](std::size_t i) {
        const Database& database = *nodes_[i]->database();
        return std::pair(last_epoch(database.epochs()).number, database.durable_lsn());
    });
}

/// As the runbook of docs/replication.md: the old master first, then the follower that has everything, then
/// all others follow that one.
void Simulation::fail_over() {
    const std::size_t old = master_;
    heal();
    restart_failed();
    pause(500);
    const bool is_isolated = scheduler_.one_in(2);
    if (is_isolated) {
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            if (i != old) {
                network_.cut(name_of(i), name_of(old));
                network_.cut(name_of(old), name_of(i));
            }
        }
    } else {
        nodes_[old]->crash(plan_.loses_power && scheduler_.one_in(2));
    }
    pause(50);
    const std::optional<std::size_t> successor = find_successor();
    bool is_promoted = false;
    try {
        if (successor) {
            nodes_[*successor]->promote();
            is_promoted = true;
        }
    } catch (const std::exception&) {
        ++counts_["refused promotions"];
    }
    if (is_promoted) {
        ++counts_["promotions"];
        master_ = *successor;
        sources_[old] = master_;
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            if (i != old && i != master_ && sources_[i] != master_) {
                sources_[i] = master_;
                start(i);
            }
        }
        if (is_isolated && scheduler_.one_in(2)) {
            // It hears from the new one that it is none any more.
            heal();
            pause(1'500);
        }
    }
    if (is_promoted || !is_isolated) {
        start(old);
    }
    heal();
}

// ---- the end

bool Simulation::all_have_everything() {
    const Database* const master = nodes_[master_]->database();
    return master != nullptr && std::ranges::all_of(nodes_, [&](const auto& node) {
               const Database* const database = node->database();
               return database != nullptr && database->durable_lsn() == master->last_lsn() &&
                      database->epochs() == master->epochs();
           });
}

void Simulation::check_counters(Database& database, const std::string& where) {
    for (const auto& [key, counter] : ledger_.counters()) {
        std::uint64_t value = 0;
        try {
            value = database.sum("clicks", key);
        } catch (const RequestError&) {
            value = 0;  // there is no such series
        }
        const std::string what =
            where + ": key " + std::to_string(key) + " is " + std::to_string(value) + ", ";
        if (value < counter.acknowledged) {
            return note_failure(what + "acknowledged were " + std::to_string(counter.acknowledged));
        }
        if (value > counter.sent) {
            return note_failure(what + "sent were " + std::to_string(counter.sent));
        }
        if (!plan_.promotes && value < counter.read) {
            return note_failure(what + "read was " + std::to_string(counter.read));
        }
    }
}

void Simulation::check_end() {
    mend_until([this] { return all_have_everything(); }, "the nodes do not become equal");
    for (int i = 0; i < 5 && !is_over_; ++i) {
        reader_->ask_on_a_quiet_server();
    }
    mend_until([this] { return all_have_everything(); }, "the nodes do not become equal again");
    for (std::size_t i = 0; i < nodes_.size() && !is_over_; ++i) {
        SimulatedNode& node = *nodes_[i];
        const Digest digest = node.database()->digest();
        if (digest != nodes_[master_]->database()->digest()) {
            return note_failure(node.name() + " differs from the master at the end");
        }
        check_counters(*node.database(), node.name());
        if (!plan_.promotes && node.discarded_files() != 0) {
            return note_failure(node.name() + " has discarded events, and nobody was promoted");
        }
    }
    // What is stored gives what was there.
    for (std::size_t i = 0; i < nodes_.size() && !is_over_; ++i) {
        const Digest digest = nodes_[i]->database()->digest();
        nodes_[i]->crash(plan_.loses_power);
        if (!start(i) || nodes_[i]->database()->digest() != digest) {
            return note_failure(nodes_[i]->name() + " is another one after a restart");
        }
        check_counters(*nodes_[i]->database(), nodes_[i]->name() + " after a restart");
    }
}

}  // namespace karma::test
