#include <limits>
#include <span>

#include "engine/error.h"
#include "engine/request.h"
#include "tests/simulation/disorder.h"

/// What the operator does, and what breaks meanwhile.
namespace karma::test {
namespace {

constexpr std::chrono::hours eight_days(8 * 24);

}  // namespace

void Disorder::operate() {
    pause(1'500);
    kind_ == DisorderKind::lost_masters ? lose_masters() : err();
    heal();
    restart_dead();
    pause(2'000);
    if (kind_ == DisorderKind::mistakes) {
        meet_others();
    }
    operator_is_done_ = true;
}

void Disorder::err() {
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
}

void Disorder::lose_masters() {
    for (std::size_t i = 0; i < plan_.mistakes && !is_over_; ++i) {
        lose_master_behind_one();
        restart_dead();
        pause(1'500);
    }
}

/// The other follower acknowledges what this one does not get, which must not take the master's place alone.
void Disorder::lose_master_behind_one() {
    const std::optional<std::size_t> master = find_master();
    if (!master || *master >= cluster_count) {
        return;
    }
    const std::size_t behind = (*master + scheduler_.between(1, 2)) % cluster_count;
    note("masters lost");
    disturb();
    network_.cut(name_of(*master), name_of(behind));
    if (scheduler_.one_in(2)) {
        network_.cut(name_of(behind), name_of(*master));
    }
    // It may be silent for one of them only.
    pause(scheduler_.one_in(3) ? 2'500 : 300);
    crash(*master);
    pause(300);
    network_.heal();
    pause(5'000);
    const std::optional<std::size_t> next = find_master();
    NodeRole role = roles_[*master];
    if (next && *next != *master) {
        role = follower_of(*next);
        role.order.reset();  // another one for each start
    }
    start(*master, role);
    for (std::size_t i = 0; i < cluster_count && next; ++i) {
        if (i != *next && i != *master && roles_[i].source != name_of(*next)) {
            NodeRole follower = follower_of(*next);
            follower.order.reset();
            start(i, follower);
        }
    }
    pause(2'000);
}

void Disorder::break_something() {
    const std::size_t node = scheduler_.between(0, cluster_count - 1);
    const std::size_t other = scheduler_.between(0, cluster_count - 1);
    disturb();
    if (plan_.clocks_step && scheduler_.one_in(4)) {
        return step_clock();
    }
    switch (scheduler_.between(0, 6)) {
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
        case 5:
            note("slow resolvers");
            network_.slow_down_lookups(name_of(node));
            network_.break_one();
            break;
        default:
            note("cuts");
            network_.cut(name_of(node), name_of(other));
            if (scheduler_.one_in(2)) {
                network_.cut(name_of(other), name_of(node));
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
    switch (scheduler_.between(0, 7)) {
        case 0: return follow_wrong_node();
        case 1: return copy_storage(false);
        case 2: return start_stranger(false);
        case 3: return promote_half_way();
        case 4: return turn_away();
        case 5: return name_epoch_far_ahead();
        case 6: return follow_nobody_together();
        default:
            // Another one comes and finds no room, or a name that is taken.
            const std::size_t node = scheduler_.between(cluster_count, nodes_count - 1);
            NodeRole role = follower_of(scheduler_.between(0, cluster_count - 1));
            role.known_as = name_of(scheduler_.between(0, cluster_count - 1));
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
    chronicle_.forget(name_of(node));
    const bool is_old = backup_ && scheduler_.one_in(2);
    nodes_[node]->move_in(is_old ? *backup_ : *nodes_[from]->disk().copy());
    note(is_old ? "old backups" : "copies");
    start(node, as_master ? master() : follower_of(scheduler_.between(0, cluster_count - 1)));
}

/// Another database: as a follower, or as what a node of the cluster follows.
void Disorder::start_stranger(bool as_source) {
    const std::size_t stranger = scheduler_.between(cluster_count, nodes_count - 1);
    nodes_[stranger]->stop();
    chronicle_.forget(name_of(stranger));
    nodes_[stranger]->move_in(MemoryStorage());
    NodeRole alone = master();
    alone.min_acks = 0;
    note("strangers");
    if (!start(stranger, alone)) {
        return;
    }
    strangers_.push_back(nodes_[stranger]->database()->database_id());
    if (scheduler_.one_in(2)) {
        // Of a later epoch than those of the cluster, which must not count there.
        nodes_[stranger]->database()->fence({epoch_of_strangers, scheduler_.random()(), 0},
                                            strangers_.back());
        promote(stranger, true);
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
    switch (scheduler_.between(0, 9)) {
        case 0: return copy_storage(true);
        case 1: return start_stranger(true);
        case 2: return swap_roles();
        case 3: return promote_two();
        case 4:
        case 5: return promote_back_and_forth();
        case 6: return fence_with_open_group();
        case 7: return tell_later();
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

/// A follower becomes master, the master it again, which the follower has to follow, and gives up what it
/// took meanwhile; then it is master of that history. Replies that wait for acknowledgements all the time
/// must not be taken for ones of it.
void Disorder::promote_back_and_forth() {
    const std::optional<std::size_t> first = find_master();
    if (!first || *first >= cluster_count) {
        return;
    }
    const std::size_t second = (*first + 1) % cluster_count;
    const std::size_t third = (*first + 2) % cluster_count;
    note("back and forth");
    follow_anew(second, *first);
    pause(1'500);
    promote(second, true);
    pause(1'500);
    promote(*first, true);
    pause(1'500);
    write_noise(*first);
    pause(1'000);
    promote(second, true);
    follow_anew(*first, second);
    follow_anew(third, second);
    pause(4'000);
}

/// So that its history gets longer, whatever clients do.
void Disorder::write_noise(std::size_t node) {
    constexpr std::uint64_t events = 60;
    for (std::uint64_t left = events; left > 0; --left) {
        Database* const database = nodes_[node]->database();
        if (database == nullptr || database->role() != Role::master) {
            return;
        }
        const Request request = Mutation{mutation::Increment{"noise-1", left}};
        Outcome outcome;
        database->execute(std::span(&request, 1), std::span(&outcome, 1));
        database->commit();
    }
}

/// While it gets the state of another one, which is lost then.
void Disorder::promote_half_way() {
    const std::size_t node = scheduler_.between(cluster_count, nodes_count - 1);
    const std::size_t source = scheduler_.between(0, cluster_count - 1);
    nodes_[node]->stop();
    if (scheduler_.one_in(2)) {
        chronicle_.forget(name_of(node));
        nodes_[node]->move_in(MemoryStorage());
    }
    NodeRole role = follower_of(source);
    role.order.reset();
    if (!start(node, role)) {
        return;
    }
    const auto end = scheduler_.now() + std::chrono::milliseconds(500);
    while (scheduler_.now() < end && nodes_[node]->database() != nullptr &&
           nodes_[node]->statistics().state != "bootstrapping") {
        scheduler_.sleep(std::chrono::microseconds(100));
    }
    if (nodes_[node]->database() == nullptr || nodes_[node]->statistics().state != "bootstrapping") {
        return;
    }
    note("half-way states");
    scheduler_.sleep(std::chrono::microseconds(scheduler_.between(0, 3'000)));
    if (scheduler_.one_in(2)) {
        crash(source);
        start(source, roles_[source]);
    } else {
        nodes_[node]->crash(plan_.loses_power && scheduler_.one_in(2));
        start(node, role);
    }
}

/// One that follows nobody has a follower, which has all that it has, and no master.
void Disorder::follow_nobody_together() {
    const std::size_t from = scheduler_.between(0, cluster_count - 1);
    const std::size_t first = cluster_count;
    const std::unique_ptr<MemoryStorage> contents = nodes_[from]->disk().copy();
    note("followers without a master");
    for (const std::size_t node : {first, first + 1}) {
        nodes_[node]->stop();
        chronicle_.forget(name_of(node));
        nodes_[node]->move_in(*contents);
        NodeRole role = follower_of(first);
        if (node == first) {
            role.source.reset();
            role.follows_nobody = true;
        }
        start(node, role);
    }
    pause(9'000);
}

/// A follower that was in sync finds no room any more: that is no silence.
void Disorder::turn_away() {
    const std::optional<std::size_t> found = find_master();
    if (!found || *found >= cluster_count || roles_[*found].source) {
        return;
    }
    NodeRole role = roles_[*found];
    role.followers_max = 1;
    note("turned away");
    start(*found, role);
    pause(8'000);
    role.followers_max = NodeRole().followers_max;
    start(*found, role);
}

/// Damage: there would be no number left for a promotion.
void Disorder::name_epoch_far_ahead() {
    Database* const database = nodes_[scheduler_.between(0, cluster_count - 1)]->database();
    if (database == nullptr) {
        return;
    }
    note("epochs far ahead");
    try {
        database->fence({std::numeric_limits<std::uint64_t>::max() - scheduler_.between(0, 1'000), 1, 0},
                        database->database_id());
    } catch (const RequestError&) {
        return;
    } catch (const StorageError&) {
        return;
    }
    if (database->known_epoch().number > epoch_of_strangers) {
        note_failure("an epoch far ahead is taken for one");  // a node without a database passes over it
    }
}

void Disorder::promote_two() {
    std::vector<std::unique_ptr<replica::Thread>> running;
    running.push_back(scheduler_.start_thread([this] { promote(1, false); }));
    promote(2, false);
}

}  // namespace karma::test
