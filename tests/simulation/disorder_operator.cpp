#include "engine/request.h"
#include "tests/simulation/disorder.h"

/// What the operator does, and what breaks meanwhile.
namespace karma::test {
namespace {

constexpr std::chrono::hours eight_days(8 * 24);

}  // namespace

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
    switch (scheduler_.between(0, 3)) {
        case 0: return follow_wrong_node();
        case 1: return copy_storage(false);
        case 2: return start_stranger(false);
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

}  // namespace karma::test
