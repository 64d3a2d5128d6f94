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

/// Whether an address means another machine on each machine, such as 127.0.0.1.
bool is_loopback(const std::string& host);

/// The same nodes as a node sees them to which the node at `host` has named them: local addresses become
/// `host`.
std::vector<KnownNode> placed(std::vector<KnownNode> nodes, const std::string& host);

/// The nodes that this one knows: those that it has followed or that have followed it, those that have
/// announced an epoch, and those that its source has named. Epochs are announced to them. Stored with the
/// database, 64 at most: counted followers have precedence over nodes with which this one was connected,
/// these over nodes that were only named, and later ones over earlier ones. The log names the nodes that are
/// dropped for that, unless they were only named. Thread-safe.
class Peers {
public:
    static constexpr std::size_t peers_max = 64;

    /// Reads the stored nodes. `database` and `log` outlive it.
    Peers(Replicated& database, net::Log& log);

    /// Sets a function that is called after each change, by the thread that made it. Set before there is a
    /// second thread.
    void on_change(std::function<void()> listener) { on_change_ = std::move(listener); }

    /// Sets a function that tells whether a node is a counted follower; without it none is. Set before there
    /// is a second thread.
    void on_whether_counted(std::function<bool(NodeId)> is_counted) { is_counted_ = std::move(is_counted); }

    /// Adds a node with which this one is connected. A node without a known address is ignored.
    void note(const KnownNode& node) { change(node, {}); }
    /// Adds a node that has begun an epoch.
    void note_beginner(const KnownNode& node, const Epoch& epoch) { change(node, epoch); }
    /// Adds nodes that the source has named.
    void note_told(const std::vector<KnownNode>& nodes);

    /// The latest last.
    std::vector<KnownNode> all() const;
    /// The node that has begun this epoch; nothing if it is not known.
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
