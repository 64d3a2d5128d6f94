#include "replica/counted_followers.h"

#include <algorithm>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "engine/error.h"
#include "replica/channel.h"

namespace karma::replica {

namespace json = boost::json;

CountedFollowers::CountedFollowers(Replicated& database, net::Log& log) : database_(database), log_(log) {
    const std::optional<std::string> kept = database_.read_note(counted_note);
    if (!kept) {
        return;
    }
    boost::system::error_code failure;
    const json::value value = json::parse(*kept, failure);
    try {
        if (failure) {
            throw ChannelError("it is no JSON");
        }
        list_ = counted_list_in(value);
    } catch (const ChannelError& damaged) {
        // Without it this node might count a follower of which another one that is counted does not know.
        throw CorruptionError("the record " + std::string(counted_note) +
                              " of the database is damaged: " + damaged.what());
    }
}

CountedList CountedFollowers::list() const {
    const std::lock_guard lock(list_mutex_);
    return list_;
}

void CountedFollowers::replace(CountedList list) {
    database_.write_note(counted_note, json::serialize(to_json(list)));
    const std::lock_guard lock(list_mutex_);
    list_ = std::move(list);
}

bool CountedFollowers::try_to_replace(CountedList list) {
    try {
        replace(std::move(list));
        return true;
    } catch (const StorageError& failure) {
        log_.error("counted_followers_not_stored", {{"message", failure.what()}});
        return false;
    }
}

bool CountedFollowers::is_own(const CountedList& list, const Epoch& epoch) const {
    return list.is_of(epoch) && list.master == database_.node_id();
}

CountedList CountedFollowers::current(const Epoch& epoch) const {
    CountedList list = this->list();
    if (!is_own(list, epoch)) {
        list = {};
        list.epoch = {epoch.number, epoch.id, 0};
        list.master = database_.node_id();
    }
    return list;
}

bool CountedFollowers::is_known_by_all(const CountedList& list, const CountedList::Member& pending) const {
    return std::ranges::all_of(list.members, [&](const CountedList::Member& one) {
        const auto confirmed = confirmed_.find(one.node.node.id);
        return !one.is_counted || (confirmed != confirmed_.end() && confirmed->second >= pending.since);
    });
}

bool CountedFollowers::count_known(CountedList& list) const {
    bool has_changed = false;
    for (CountedList::Member& member : list.members) {
        if (!member.is_counted && is_known_by_all(list, member)) {
            member.is_counted = true;
            has_changed = true;
        }
    }
    return has_changed;
}

bool CountedFollowers::counts(std::uint64_t node) const {
    const Epoch epoch = last_epoch(database_.epochs());
    const std::lock_guard lock(list_mutex_);
    return is_own(list_, epoch) && list_.counts(node);
}

bool CountedFollowers::consider(const KnownNode& follower) {
    const Epoch epoch = last_epoch(database_.epochs());
    const std::lock_guard lock(mutex_);
    CountedList list = current(epoch);
    if (!is_own(this->list(), epoch)) {
        confirmed_.clear();
    }
    const auto found = std::ranges::find_if(
        list.members, [&](const CountedList::Member& one) { return one.node.node.id == follower.node.id; });
    if (found != list.members.end() && found->node == follower) {
        return found->is_counted;
    }
    ++list.version;
    if (found != list.members.end()) {
        found->node = follower;  // it is somewhere else now
    } else if (list.members.size() < members_max) {
        list.members.push_back({follower, false, list.version});
    } else {
        return false;
    }
    count_known(list);
    const bool counts = list.counts(follower.node.id);
    return try_to_replace(std::move(list)) && counts;
}

void CountedFollowers::withdraw(std::uint64_t node) {
    const Epoch epoch = last_epoch(database_.epochs());
    const std::lock_guard lock(mutex_);
    CountedList list = this->list();
    const CountedList::Member* const member = list.find(node);
    if (member == nullptr || member->is_counted || !is_own(list, epoch)) {
        return;
    }
    std::erase_if(list.members, [node](const CountedList::Member& one) { return one.node.node.id == node; });
    ++list.version;
    try_to_replace(std::move(list));
}

bool CountedFollowers::confirm(std::uint64_t node, const Epoch& epoch, std::uint64_t version) {
    const std::lock_guard lock(mutex_);
    CountedList list = this->list();
    if (!is_own(list, epoch) || version > list.version) {
        return false;
    }
    std::uint64_t& confirmed = confirmed_[node];
    confirmed = std::max(confirmed, version);
    return count_known(list) && try_to_replace(std::move(list));
}

KnownNode CountedFollowers::forget(std::uint64_t node, const std::string& name, Lsn lsn) {
    const Epoch epoch = last_epoch(database_.epochs());
    const std::lock_guard lock(mutex_);
    CountedList list = current(epoch);
    const auto is_it = [&](const CountedList::Member& one) {
        return node != 0 ? one.node.node.id == node : one.node.node.name == name;
    };
    const auto count = std::ranges::count_if(list.members, is_it);
    if (count == 0) {
        throw RequestError(ErrorCode::not_found, "There is no such counted follower");
    }
    if (count > 1) {
        throw RequestError(ErrorCode::validation_error,
                           "There is more than one counted follower of this name: give the node_id");
    }
    const auto found = std::ranges::find_if(list.members, is_it);
    KnownNode forgotten = found->node;
    list.members.erase(found);
    ++list.version;
    list.told_from = std::max(list.told_from, lsn);
    count_known(list);
    replace(std::move(list));
    return forgotten;
}

void CountedFollowers::store_told(const CountedList& told) {
    const std::lock_guard lock(mutex_);
    if (!(list() == told)) {
        replace(told);
    }
}

}  // namespace karma::replica
