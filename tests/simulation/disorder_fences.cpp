#include <algorithm>
#include <span>

#include "engine/request.h"
#include "tests/simulation/disorder.h"

/// Masters that are fenced: while they write, and while nobody reaches them.
namespace karma::test {

/// As a start whose order was not used yet.
bool Disorder::follow_anew(std::size_t node, std::size_t source) {
    NodeRole role = follower_of(source);
    role.order.reset();
    return start(node, role);
}

bool Disorder::is_master(std::size_t node) const {
    const Database* const database = nodes_[node]->database();
    return database != nullptr && database->role() == Role::master;
}

/// As a connection does whose commit group waits for a slow disk: also when the node is no master any more.
void Disorder::execute_noise(std::size_t node) {
    Database* const database = nodes_[node]->database();
    if (database == nullptr) {
        return;
    }
    const Request request = Mutation{mutation::Increment{"noise-2", 1}};
    Outcome outcome;
    database->execute(std::span(&request, 1), std::span(&outcome, 1));
}

/// A master that was promoted is fenced while its commit group is open. It follows a node then that has
/// everything but that group, and other events in its place.
void Disorder::fence_with_open_group() {
    const std::optional<std::size_t> found = find_master();
    if (!found || *found >= cluster_count) {
        return;
    }
    const std::size_t next = *found;
    const std::size_t fenced = (next + 1) % cluster_count;
    note("open groups");
    follow_anew(fenced, next);
    pause(1'500);
    promote(fenced, true);
    pause(500);
    follow_anew(next, fenced);
    pause(2'500);
    if (!is_master(fenced)) {
        return;
    }
    nodes_[fenced]->has_slow_disk = true;
    for (std::uint64_t left = scheduler_.between(1, 5); left > 0; --left) {
        execute_noise(fenced);
    }
    promote(next, true);
    write_noise(next);
    // Few of them: a full group is committed by whoever fills it.
    for (std::uint64_t left = scheduler_.between(0, 100); left > 0 && !is_over_; --left) {
        if (scheduler_.one_in(20)) {
            execute_noise(fenced);
        }
        scheduler_.sleep(std::chrono::microseconds(scheduler_.between(0, 500)));
    }
    nodes_[fenced]->has_slow_disk = false;
    pause(4'000);
}

/// Nobody reaches the master while another one takes its place, and nobody who knows of that follows it: it
/// has to be told later.
void Disorder::tell_later() {
    const std::optional<std::size_t> found = find_master();
    if (!found || *found >= cluster_count) {
        return;
    }
    const std::size_t next = (*found + 1) % cluster_count;
    note("told later");
    follow_anew(next, *found);
    follow_anew((*found + 2) % cluster_count, next);
    pause(1'500);
    disturb();
    for (std::size_t i = 0; i < nodes_count; ++i) {
        if (i != *found) {
            network_.cut(name_of(i), name_of(*found));
            network_.cut(name_of(*found), name_of(i));
        }
    }
    promote(next, true);
    pause(15'000);
    heal();
    constexpr std::chrono::seconds told_within(90);
    const auto is_told = [&] {
        // A failed one cannot store the epoch, and takes no writes.
        return !is_master(*found) || !is_master(next) || nodes_[*found]->database()->has_failed();
    };
    if (!comes_true_within(told_within, is_told)) {
        note_failure("R2: " + name_of(*found) + " could not be reached, and is not told of the epoch since");
    }
}

}  // namespace karma::test
