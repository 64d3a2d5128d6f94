#include <algorithm>
#include <array>
#include <set>

#include "tests/simulation/disorder.h"

/// What nodes say of themselves, and do by themselves, against what the simulation knows.
namespace karma::test {

void Disorder::check_claims() {
    for (std::size_t i = 0; i < nodes_.size() && !is_over_; ++i) {
        check_doubt(i);
        check_epochs(i);
    }
}

Disorder::Behind Disorder::what_is_behind(std::size_t node) const {
    Behind behind;
    behind.path = name_of(node);
    std::set<std::size_t> passed;
    while (passed.insert(node).second) {
        const std::optional<std::string>& source = nodes_[node]->role().source;
        if (!source) {
            return behind;
        }
        const auto next = static_cast<std::size_t>(source->back() - '0');
        const Database* const database = nodes_[next]->database();
        const NodeRole& role = nodes_[next]->role();
        const bool is_refused =
            !role.has_log || (!role.token.empty() && role.token != nodes_[node]->role().token);
        const bool is_cut =
            network_.is_cut(name_of(node), name_of(next)) || network_.is_cut(name_of(next), name_of(node));
        const bool has_failed = database != nullptr && database->has_failed();
        const std::array<bool, 4> states = {is_cut, is_refused, database == nullptr, has_failed};
        for (const bool state : states) {
            behind.path += state ? "+" : "-";
        }
        behind.path += *source;
        behind.path += std::to_string(nodes_[next]->started_at().time_since_epoch().count());
        if (database == nullptr || database->role() == Role::fenced || is_refused || is_cut) {
            return behind;
        }
        if (has_failed || database->role() == Role::master) {
            behind.kind = has_failed ? Behind::Kind::failed : Behind::Kind::master;
            return behind;
        }
        node = next;
    }
    return behind;
}

/// R6 and R9. What is behind others is known later, but no later than the time that silence is given.
void Disorder::check_doubt(std::size_t node) {
    constexpr auto known_after = std::chrono::seconds(5);
    const Database* const database = nodes_[node]->database();
    const Behind behind = database == nullptr ? Behind() : what_is_behind(node);
    if (database == nullptr || database->role() != Role::slave || database->has_failed() ||
        behind.kind == Behind::Kind::master) {
        without_master_.erase(node);
        return;
    }
    auto& [begun, path] = without_master_[node];
    if (path.empty() || path != behind.path) {
        begun = scheduler_.now();
        path = behind.path;
    }
    if (scheduler_.now() - std::max(begun, nodes_[node]->started_at()) < known_after) {
        return;
    }
    // What a node whose log has failed made durable is there: its followers are in sync with that.
    if (behind.kind == Behind::Kind::nobody && nodes_[node]->statistics().state == "streaming") {
        note_failure("R6: " + name_of(node) + " says that it is in sync, and no master is behind its source");
    } else if (nodes_[node]->alarm().empty()) {
        note_failure("R9: " + name_of(node) +
                     " has no master behind its source that can write, and no alarm");
    }
}

/// Strangers are of epochs that the cluster never comes to.
void Disorder::check_epochs(std::size_t node) {
    const Database* const database = nodes_[node]->database();
    if (database != nullptr && database->database_id().is_known() &&
        std::ranges::count(strangers_, database->database_id()) == 0 &&
        database->known_epoch().number >= epoch_of_strangers) {
        note_failure("R2: " + name_of(node) + " takes epoch " +
                     std::to_string(database->known_epoch().number) +
                     " for one of its database, in which nobody began it");
    }
}

/// R7: silence is not a refusal, and a master that nothing happens to is not silent.
void Disorder::check_failover(std::size_t node) {
    constexpr auto asking = std::chrono::milliseconds(2'500);
    const NodeRole& role = nodes_[node]->role();
    SimulatedNode& source = *nodes_[static_cast<std::size_t>(role.source.value_or("0").back() - '0')];
    const auto begun = std::max(disturbed_at_, nodes_[node]->started_at());
    if (scheduler_.now() - begun > std::chrono::milliseconds(role.failover_ms) + asking &&
        source.database() != nullptr && source.role().source == std::nullopt) {
        note_failure("R7: " + name_of(node) + " takes the place of " + source.name() +
                     ", to which nothing has happened");
    }
}

}  // namespace karma::test
