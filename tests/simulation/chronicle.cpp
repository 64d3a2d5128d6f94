#include "tests/simulation/chronicle.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "engine/error.h"
#include "engine/event_codec.h"
#include "tests/support/json.h"

namespace karma::test {
namespace {

// The writes of the clients that the files of discarded events of a directory hold.
std::set<std::uint64_t> writes_in_audit_files(const std::filesystem::path& directory) {
    std::set<std::uint64_t> writes;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        if (!entry.path().filename().string().starts_with("discarded-after-")) {
            continue;
        }
        std::ifstream file(entry.path());
        for (std::string line; std::getline(file, line);) {
            const json::value parsed = parse_json(line);
            const json::object& event = member(parsed, "entry").as_object();
            const json::value* const series = event.if_contains("series");
            if (series != nullptr && *series == json::value(Chronicle::series) && event.contains("key")) {
                writes.insert(as_number(event.at("key")));
            }
        }
    }
    return writes;
}

}  // namespace

Epoch Chronicle::History::epoch_at(Lsn at) const {
    Epoch found;
    for (const Epoch& epoch : epochs) {
        if (epoch.first_lsn <= at) {
            found = epoch;
        }
    }
    return found;
}

// Whether what was there is still there.
bool Chronicle::History::holds(const History& part) const {
    if (part.lsn == 0) {
        return true;
    }
    if (database != part.database || lsn < part.lsn) {
        return false;
    }
    const auto count = [&](const Epochs& of) {
        return std::ranges::count_if(of, [&](const Epoch& epoch) { return epoch.first_lsn <= part.lsn; });
    };
    const auto shared = count(part.epochs);
    return count(epochs) == shared &&
           std::equal(part.epochs.begin(), part.epochs.begin() + shared, epochs.begin());
}

bool Chronicle::has(const History& history, const Place& place) {
    return history.database == place.database && place.lsn <= history.lsn &&
           history.epoch_at(place.lsn).id == place.epoch_id;
}

std::size_t Chronicle::times_in(const History& history, std::uint64_t write) const {
    const auto found = places_.find(write);
    return found == places_.end()
               ? 0
               : static_cast<std::size_t>(std::ranges::count_if(
                     found->second, [&](const Place& place) { return has(history, place); }));
}

DatabaseId Chronicle::database_of(const std::string& node) const {
    const auto found = nodes_.find(node);
    return found == nodes_.end() ? DatabaseId() : found->second.history.database;
}

void Chronicle::forget(const std::string& node) {
    if (const auto found = nodes_.find(node); found != nodes_.end()) {
        note_holders();
        replaced_.push_back({node, found->second.syncs, std::move(found->second.history), scheduler_.now()});
        nodes_.erase(found);
    }
}

void Chronicle::look_at(SimulatedNode& node) {
    Database* const database = node.database_to_look_at();
    // What one has that has failed since may have been acknowledged before.
    if (database == nullptr || database->is_empty() || !database->database_id().is_known()) {
        return;
    }
    const History now{database->database_id(), database->epochs(), database->durable_lsn()};
    const auto [found, is_first] = nodes_.try_emplace(node.name());
    Seen& seen = found->second;
    seen.syncs = node.role().syncs && !node.role().keeps_nothing;
    if (!is_first) {
        check_replacement(node, seen, now);
    }
    try {
        if (node.role().order && database->is_order_used(*node.role().order)) {
            seen.used.insert(*node.role().order);
        }
        scan(*database, now, seen, node.name());
    } catch (const StorageError&) {
        return;  // the next time
    }
    seen.history = now;
    if (database->role() == Role::master) {
        const Epoch last = last_epoch(now.epochs);
        const auto [writer, is_new] =
            writers_.emplace(std::tuple(now.database.high, now.database.low, last.id), node.name());
        if (!is_new && writer->second != node.name()) {
            fail_("I2: " + node.name() + " and " + writer->second + " are both masters of epoch " +
                  std::to_string(last.number));
        }
    }
}

// I3: what is not there any more was given up by an order that was not used before.
void Chronicle::check_replacement(SimulatedNode& node, Seen& seen, const History& now) {
    const History& before = seen.history;
    if (now.holds(before)) {
        return;
    }
    note_holders();
    seen.scanned = 0;
    seen.last_time_ms = 0;
    std::string order;
    try {
        // Without a text of its own each start has another one, which is used once.
        const std::string text = node.role().order.value_or("");
        if (text.empty() || (node.database_to_look_at()->is_order_used(text) && !seen.used.contains(text))) {
            order = text.empty() ? "of this start" : text;
        }
    } catch (const StorageError&) {
        return;
    }
    if (order.empty()) {
        return fail_("I3: " + node.name() + " has given up events up to LSN " + std::to_string(before.lsn) +
                     " without a proof and without an order");
    }
    ++orders_;
    replaced_.push_back({node.name(), seen.syncs, before, scheduler_.now()});
    check_audit(node, before, now);
}

// What an order gave up is in a file, but for what the node says that it had not.
void Chronicle::check_audit(SimulatedNode& node, const History& before, const History& now) {
    const Lsn missing = std::exchange(missing_[node.name()], 0);
    const std::set<std::uint64_t> audited = writes_in_audit_files(node.directory());
    for (const auto& [write, places] : places_) {
        if (times_in(before, write) == 0 || times_in(now, write) != 0) {
            continue;
        }
        given_up_.insert(write);
        const bool is_kept = std::ranges::any_of(
            places, [&](const Place& place) { return has(before, place) && place.lsn > missing; });
        if (is_kept && !audited.contains(write)) {
            return fail_("write " + std::to_string(write) + " was given up by " + node.name() +
                         " and is in no file of discarded events");
        }
    }
}

// What is the same event by its database, epoch and LSN has the same contents wherever it is seen.
void Chronicle::scan(Database& database, const History& now, Seen& seen, const std::string& name) {
    const Lsn from = std::max(seen.scanned + 1, database.first_kept_lsn());
    if (from > now.lsn) {
        return;
    }
    database.read_log(from, [&](const EventGroup& group) {
        read_event_group(group.bytes, [&](const Event& event) {
            if (event.lsn < from || event.lsn > now.lsn) {
                return;
            }
            if (event.time_ms < seen.last_time_ms) {
                fail_("time goes back at LSN " + std::to_string(event.lsn) + " of " + name);
            }
            seen.last_time_ms = event.time_ms;
            const Epoch epoch = now.epoch_at(event.lsn);
            const Key key(now.database.high, now.database.low, epoch.id, event.lsn);
            forget_if_lost(key, checksum_of(event), name);
            const auto [known, is_new] =
                contents_.try_emplace(key, Contents{checksum_of(event), name, !seen.syncs});
            if (known->second.checksum != checksum_of(event)) {
                fail_("I2: two events have LSN " + std::to_string(event.lsn) + " in epoch " +
                      std::to_string(epoch.number) + "; " + name + " has the second one");
            }
            const auto* const added = std::get_if<fact::Increment>(&event.body);
            if (is_new && added != nullptr && added->series == series) {
                places_[added->key].push_back({now.database, epoch.id, epoch.number, event.lsn});
            }
        });
        return true;
    });
    seen.scanned = now.lsn;
}

// An event that only a node had which does not sync may be lost, and the node go on in its epoch with others.
void Chronicle::forget_if_lost(const Key& key, std::uint32_t checksum, const std::string& name) {
    const auto known = contents_.find(key);
    if (known == contents_.end()) {
        return;
    }
    Contents& contents = known->second;
    contents.may_be_lost = contents.may_be_lost && contents.node == name;
    if (contents.checksum == checksum || !contents.may_be_lost) {
        return;
    }
    contents_.erase(known);
    for (auto& [write, places] : places_) {
        std::erase_if(places, [&](const Place& place) {
            return Key(place.database.high, place.database.low, place.epoch_id, place.lsn) == key;
        });
    }
}

void Chronicle::note_safe_epoch(SimulatedNode& node) {
    look_at(node);
    if (Database* const database = node.database(); database != nullptr && !database->has_failed()) {
        safe_epochs_.insert(last_epoch(database->epochs()).id);
        check_acknowledged(node);
    }
}

// A reply is under way for so long at most, and what was lost in a crash is seen again after as long.
constexpr auto under_way_max = std::chrono::seconds(3);

std::set<std::string> Chronicle::holders_of(std::uint64_t write, const std::string& this_one,
                                            Scheduler::Clock::time_point came_at) const {
    std::set<std::string> holders;
    for (const auto& [name, seen] : nodes_) {
        if ((seen.syncs || name == this_one) && times_in(seen.history, write) != 0) {
            holders.insert(name);
        }
    }
    // The reply may have been under way while it was given up, or a directory was replaced that had it.
    for (const Replaced& before : replaced_) {
        if ((before.syncs || before.node == this_one) && came_at - before.at < under_way_max &&
            times_in(before.history, write) != 0) {
            holders.insert(before.node);
        }
    }
    return holders;
}

void Chronicle::note_holders() {
    for (const auto& [write, places] : places_) {
        for (const Place& place : places) {
            const auto holders = std::ranges::count_if(nodes_, [&](const auto& node) {
                return node.second.syncs && has(node.second.history, place);
            });
            std::size_t& most =
                most_holders_[Key(place.database.high, place.database.low, place.epoch_id, place.lsn)];
            most = std::max(most, static_cast<std::size_t>(holders));
        }
    }
}

bool Chronicle::was_held(std::uint64_t write, const std::string& node, std::size_t holders) const {
    const auto places = places_.find(write);
    const auto seen = nodes_.find(node);
    if (places == places_.end() || seen == nodes_.end()) {
        return false;
    }
    return std::ranges::any_of(places->second, [&](const Place& place) {
        const auto most =
            most_holders_.find(Key(place.database.high, place.database.low, place.epoch_id, place.lsn));
        const std::size_t own = seen->second.syncs ? 0 : 1;
        return has(seen->second.history, place) && most != most_holders_.end() &&
               most->second + own >= holders;
    });
}

void Chronicle::acknowledge(std::uint64_t write, const std::string& node, std::uint32_t min_acks,
                            Scheduler::Clock::time_point came_at) {
    const std::size_t holders = holders_of(write, node, came_at).size();
    const bool may_be_elsewhere = crashed_at_ && came_at - *crashed_at_ < under_way_max;
    if (holders < 1 + min_acks && !may_be_elsewhere && !was_held(write, node, 1 + min_acks)) {
        return fail_("I4: write " + std::to_string(write) + ", acknowledged by " + node + ", is on " +
                     std::to_string(holders) + " nodes, not on " + std::to_string(1 + min_acks));
    }
    const auto places = places_.find(write);
    if (places == places_.end() || places->second.empty()) {
        return;
    }
    const Place& last = places->second.back();
    acknowledged_.try_emplace(write, Acknowledged{last.database, last.epoch_number, min_acks != 0});
}

// I1.
void Chronicle::check_acknowledged(SimulatedNode& master) {
    const auto found = nodes_.find(master.name());
    if (found == nodes_.end()) {
        return;
    }
    const History& history = found->second.history;
    for (const auto& [write, acknowledged] : acknowledged_) {
        const std::uint64_t number = acknowledged.epoch_number;
        if (!acknowledged.has_followers || acknowledged.database != history.database ||
            given_up_.contains(write) || times_in(history, write) != 0) {
            continue;
        }
        const bool is_excepted = std::ranges::any_of(history.epochs, [&](const Epoch& epoch) {
            return epoch.number > number && !safe_epochs_.contains(epoch.id);
        });
        if (!is_excepted) {
            return fail_("I1: write " + std::to_string(write) + " was acknowledged in epoch " +
                         std::to_string(number) + ", and " + master.name() + ", master of epoch " +
                         std::to_string(last_epoch(history.epochs).number) + ", has it not");
        }
    }
}

void Chronicle::check_state(SimulatedNode& node) {
    const History& history = nodes_[node.name()].history;
    for (const auto& [write, places] : places_) {
        std::uint64_t sum = 0;
        try {
            sum = node.database()->sum(series, write);
        } catch (const RequestError&) {
            sum = 0;  // it has no such counter
        }
        const std::size_t times = times_in(history, write);
        if (sum != times || sum > 1) {
            return fail_(node.name() + ": write " + std::to_string(write) + " counts " + std::to_string(sum) +
                         " times, and is in the log " + std::to_string(times) + " times");
        }
    }
}

}  // namespace karma::test
