#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/epoch.h"
#include "engine/replicated.h"
#include "net/log.h"
#include "replica/life.h"

namespace karma::replica {

/// True of an address that means another machine on each machine.
bool is_loopback(const std::string& host);

/// The same nodes as one sees them to whom the node at `host` has told of them: those that it sees on its own
/// machine are there.
std::vector<KnownNode> placed(std::vector<KnownNode> nodes, const std::string& host);

/// The nodes that this one has heard of: those it has followed or was followed by, those that have announced
/// an epoch, and those that its source told of. Epochs are announced to them. Kept with the database, 64 at
/// most: counted followers go before nodes that this one has dealt with itself, these before those that it
/// was told of, and the latest before the earlier ones. The log names those that are dropped for that, but
/// for those that it was only told of. Thread-safe.
class Peers {
public:
    static constexpr std::size_t peers_max = 64;

    /// Reads what is kept. `database` and `log` outlive it.
    Peers(Replicated& database, net::Log& log);

    /// Called after each change, by the thread that made it. To be set before there is a second thread.
    void on_change(std::function<void()> listener) { on_change_ = std::move(listener); }

    /// Says whether a node is a counted follower; without it none is. To be set as the other one.
    void on_whether_counted(std::function<bool(NodeId)> is_counted) { is_counted_ = std::move(is_counted); }

    /// A node that this one deals with. One that listens nowhere that is known is passed over.
    void note(const KnownNode& node) { change(node, {}); }
    /// A node that has begun an epoch.
    void note_beginner(const KnownNode& node, const Epoch& epoch) { change(node, epoch); }
    /// Nodes that the source told of.
    void note_told(const std::vector<KnownNode>& nodes);

    /// The latest last.
    std::vector<KnownNode> all() const;
    /// The node that has begun this epoch; nothing where that is not known.
    std::optional<KnownNode> beginner_of(const Epoch& epoch) const;

private:
    struct Known {
        KnownNode node;
        bool is_told = false;  // of it by the source; else this node has dealt with it
        Epoch begun;           // the latest one that it announced
    };

    static std::vector<Known> read(std::string_view text);
    static std::string write(const std::vector<Known>& peers);
    void change(const KnownNode& given, const Epoch& begun);
    void replace(std::vector<Known> peers);
    std::vector<Known>::iterator first_to_drop(std::vector<Known>& peers) const;
    std::vector<Known> kept() const;

    Replicated& database_;
    net::Log& log_;
    std::function<void()> on_change_;
    std::function<bool(NodeId)> is_counted_;
    std::mutex change_mutex_;   // of who changes the list; held while it is written
    mutable std::mutex mutex_;  // of what follows; never held for long
    std::vector<Known> peers_;  // the latest last
};

}  // namespace karma::replica
