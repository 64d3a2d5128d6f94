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

/// The followers whose acknowledgements count: of this node where it is a master, or of its master as that
/// has told it. Kept with the database, and changed there before anybody is told. Thread-safe.
class CountedFollowers {
public:
    static constexpr std::size_t members_max = 64;

    /// Reads what is kept. `database` and `log` outlive it.
    CountedFollowers(Replicated& database, net::Log& log);

    CountedList list() const;

    // As a master:

    /// A follower is there that stores lists and syncs. True once its acknowledgements count in this epoch:
    /// for that, all that count so far have to confirm a list with it.
    bool consider(const KnownNode& follower);
    /// It has gone. Where it does not count yet it need not be asked for a promise any more.
    void withdraw(std::uint64_t node);
    /// It has stored this list. True where others count for that from here on.
    bool confirm(std::uint64_t node, const Epoch& epoch, std::uint64_t version);
    /// Whether it counts in this epoch.
    bool counts(std::uint64_t node) const;
    /// Takes one from the list, by its id or, where that is 0, its name. Followers with fewer events than
    /// `lsn` are not told yet. Throws RequestError where it is not there, and StorageError.
    KnownNode forget(std::uint64_t node, const std::string& name, Lsn lsn);

    // As a follower:

    /// Keeps what the master told, durable when it returns. Throws StorageError.
    void store_told(const CountedList& told);

private:
    /// With `mutex_` held: makes it durable, then the present one. Throws StorageError.
    void replace(CountedList list);
    bool is_own(const CountedList& list, const Epoch& epoch) const;
    /// With `mutex_` held: the list of the present epoch.
    CountedList current(const Epoch& epoch) const;
    bool is_known_by_all(const CountedList& list, const CountedList::Member& pending) const;
    /// With `mutex_` held: counts those of which all others know. True where there are such.
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
