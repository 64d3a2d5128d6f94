#include <algorithm>
#include <sstream>

#include "tests/simulation/disorder.h"

/// How the operator repairs it all, and what must be so then.
namespace karma::test {

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
        // It may know a later epoch yet, which nobody is of any more.
        start(0, master());
        const std::optional<std::size_t> found = find_master();
        return found || !promote_forced(0) ? found : find_master();
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
        text << (i == 0 ? "" : "; ") << name_of(i);
        const Database* const database = nodes_[i]->database();
        if (database == nullptr) {
            text << " does not run";
            continue;
        }
        text << (database->role() == Role::master ? " is master" : "")
             << (database->has_failed() ? " has failed" : "") << " at LSN " << database->durable_lsn()
             << " of " << database->last_lsn() << ", " << nodes_[i]->state() << ", database "
             << database->database_id().low << ", epochs";
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
            NodeRole role = roles_[*master];
            // Each write that is sent again at the end might wait so long for followers that do not count.
            const bool waits_long = role.min_acks != 0 && plan_.ack_timeout_ms > 1'000;
            if (role.followers_max < nodes_.size() || waits_long) {
                role.followers_max = NodeRole().followers_max;
                role.min_acks = waits_long ? 0 : role.min_acks;
                start(*master, role);
            }
            for (std::size_t i = 0; i < nodes_.size(); ++i) {
                if (i != *master) {
                    NodeRole follower = follower_of(*master);
                    follower.order.reset();  // another one for each start
                    start(i, follower);
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
                database->database_id() != chronicle_.database_of(name_of(*master))) {
                // Promoted with another database it stays master of that: it gets an empty directory.
                nodes_[i]->stop();
                chronicle_.forget(name_of(i));
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
            client->send_again(name_of(node));
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
                return note_failure(name_of(i) + " differs from the master at the end");
            }
        }
    }
}

}  // namespace karma::test
