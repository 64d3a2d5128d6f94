#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/replicated.h"
#include "net/log.h"
#include "replica/counted_list.h"

namespace karma::replica {

/// The followers whose acknowledgements count: those of this node if it is a master, else those of its
/// master, as the master has told it. Stored with the database; a change is stored before any node is told.
/// Thread-safe.
class CountedFollowers {
public:
    static constexpr std::size_t members_max = 64;

    /// Reads the stored list. `database` and `log` outlive it.
    CountedFollowers(Replicated& database, net::Log& log);

    CountedList list() const;

    // As a master:

    /// Notes a connected follower that stores lists and syncs. True once its acknowledgements count in this
    /// epoch, which needs confirmations of a list with it from all followers that count so far.
    bool consider(const KnownNode& follower);
    /// Notes that a follower has disconnected. If it does not count yet, it need not be asked for a promise
    /// any more.
    void withdraw(std::uint64_t node);
    /// Notes that a follower has stored this list. True if further followers count because of that.
    bool confirm(std::uint64_t node, const Epoch& epoch, std::uint64_t version);
    /// Whether a follower counts in this epoch.
    bool counts(std::uint64_t node) const;
    /// Removes a follower from the list, by its id or, if that is 0, by its name. Followers with fewer events
    /// than `lsn` are not told yet. Throws RequestError if it is not on the list, and StorageError.
    KnownNode forget(std::uint64_t node, const std::string& name, Lsn lsn);

    // As a follower:

    /// Stores the list that the master has sent, durably. Throws StorageError.
    void store_told(const CountedList& told);

private:
    /// With `mutex_` held: stores a list durably, then makes it the present one. Throws StorageError.
    void replace(CountedList list);
    bool is_own(const CountedList& list, const Epoch& epoch) const;
    /// With `mutex_` held: the list of the present epoch.
    CountedList current(const Epoch& epoch) const;
    bool is_known_by_all(const CountedList& list, const CountedList::Member& pending) const;
    /// With `mutex_` held: counts the followers that all others know. True if there were such.
    bool count_known(CountedList& list) const;
    bool try_to_replace(CountedList list);

    Replicated& database_;
    net::Log& log_;
    std::mutex mutex_;                                  // of who changes the list; held while it is written
    std::map<std::uint64_t, std::uint64_t> confirmed_;  // by node: the version that it has stored
    mutable std::mutex list_mutex_;                     // of what follows; never held for long
    CountedList list_;
};

}  // namespace karma::replica
