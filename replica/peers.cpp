#include "replica/peers.h"

#include <algorithm>
#include <utility>

#include <boost/asio/ip/address.hpp>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "net/address_text.h"
#include "replica/channel.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

/// A longer name is none that is kept: it is for people only.
constexpr std::size_t name_bytes_max = 256;
/// No host has a longer one.
constexpr std::size_t host_bytes_max = 255;

bool can_be_asked(const KnownNode& node) {
    return !node.host.empty() && node.host.size() <= host_bytes_max && node.port != 0;
}

bool is_same_place(const KnownNode& one, const KnownNode& other) {
    return one.host == other.host && one.port == other.port;
}

KnownNode with_short_name(KnownNode node) {
    if (node.node.name.size() > name_bytes_max) {
        node.node.name.clear();
    }
    return node;
}

}  // namespace

bool is_loopback(const std::string& host) {
    boost::system::error_code failure;
    const auto address = boost::asio::ip::make_address(host, failure);
    return failure ? host == "localhost" : address.is_loopback();
}

std::vector<KnownNode> placed(std::vector<KnownNode> nodes, const std::string& host) {
    for (KnownNode& node : nodes) {
        if (is_loopback(node.host)) {
            node.host = host;
        }
    }
    return nodes;
}

std::vector<Peers::Known> Peers::read(std::string_view text) {
    boost::system::error_code failure;
    const json::value value = json::parse(text, failure);
    std::vector<Known> peers;
    if (failure || !value.is_array()) {
        throw ChannelError("the list of nodes that are known is damaged");
    }
    for (const json::value& one : value.get_array()) {
        const JsonFields fields(one);
        Known known;
        known.node = {{fields.number("id"), std::string(fields.text("name"))},
                      std::string(fields.text("host")),
                      static_cast<std::uint16_t>(fields.number("port"))};
        known.is_told = fields.number_if_any("told").value_or(0) != 0;
        known.begun = {fields.number_if_any("epoch").value_or(0),
                       fields.number_if_any("epoch_id").value_or(0), 0};
        peers.push_back(std::move(known));
    }
    return peers;
}

std::string Peers::write(const std::vector<Known>& peers) {
    json::array all;
    for (const Known& peer : peers) {
        json::object one{{"id", peer.node.node.id},
                         {"name", peer.node.node.name},
                         {"host", peer.node.host},
                         {"port", peer.node.port}};
        if (peer.is_told) {
            one["told"] = 1;
        }
        if (peer.begun.number != 0) {
            one["epoch"] = peer.begun.number;
            one["epoch_id"] = peer.begun.id;
        }
        all.push_back(std::move(one));
    }
    return json::serialize(all);
}

Peers::Peers(Replicated& database, net::Log& log) : database_(database), log_(log) {
    try {
        if (const std::optional<std::string> kept = database_.read_note(peers_note)) {
            peers_ = read(*kept);
        }
    } catch (const std::exception& failure) {
        log_.error("peers_lost", {{"message", failure.what()},
                                  {"effect", "an epoch is not announced to nodes that were known before"}});
    }
}

void Peers::change(const KnownNode& given, const Epoch& begun) {
    const KnownNode node = with_short_name(given);
    if (!can_be_asked(node) || (node.node.id != 0 && node.node.id == database_.node_id())) {
        return;
    }
    {
        const std::lock_guard changing(change_mutex_);
        std::vector<Known> peers = kept();
        const auto there =
            std::ranges::find_if(peers, [&](const Known& one) { return is_same_place(one.node, node); });
        const bool has_begun = begun.number != 0;
        if (there != peers.end() && !there->is_told && (there->node == node || node.node.id == 0) &&
            (!has_begun || there->begun.is_same_as(begun))) {
            return;
        }
        Known known{node, false, begun};
        if (there != peers.end() && (node.node.id == 0 || there->node.node.id == node.node.id)) {
            known.node.node = node.node.id == 0 ? there->node.node : node.node;
            known.begun = has_begun ? begun : there->begun;
        }
        std::erase_if(peers, [&](const Known& one) {
            return is_same_place(one.node, node) || (node.node.id != 0 && one.node.node.id == node.node.id);
        });
        peers.push_back(std::move(known));
        replace(std::move(peers));
    }
    if (on_change_) {
        on_change_();
    }
}

void Peers::note_told(const std::vector<KnownNode>& nodes) {
    {
        const std::lock_guard changing(change_mutex_);
        std::vector<Known> peers = kept();
        const std::size_t before = peers.size();
        for (const KnownNode& told : nodes) {
            const KnownNode node = with_short_name(told);
            const bool is_known =
                std::ranges::any_of(peers, [&](const Known& one) { return is_same_place(one.node, node); });
            if (can_be_asked(node) && !is_known && node.node.id != database_.node_id()) {
                peers.push_back({node, true, {}});
            }
        }
        if (peers.size() == before) {
            return;
        }
        replace(std::move(peers));
    }
    if (on_change_) {
        on_change_();
    }
}

std::vector<Peers::Known>::iterator Peers::first_to_drop(std::vector<Known>& peers) const {
    const auto is_counted = [this](const Known& one) {
        return is_counted_ && one.node.node.id != 0 && is_counted_(one.node.node.id);
    };
    auto found =
        std::ranges::find_if(peers, [&](const Known& one) { return one.is_told && !is_counted(one); });
    if (found == peers.end()) {
        found = std::ranges::find_if(peers, [&](const Known& one) { return !is_counted(one); });
    }
    return found == peers.end() ? peers.begin() : found;
}

void Peers::replace(std::vector<Known> peers) {
    while (peers.size() > peers_max) {
        const auto dropped = first_to_drop(peers);
        if (!dropped->is_told) {
            log_.warning("peer_forgotten",
                         {{"address", net::address_text(dropped->node.host, dropped->node.port)},
                          {"node", dropped->node.node.name},
                          {"message", "more than " + std::to_string(peers_max) +
                                          " nodes are known: later epochs are not announced to this one"}});
        }
        peers.erase(dropped);
    }
    try {
        database_.write_note(peers_note, write(peers));
    } catch (const std::exception& failure) {
        log_.error("peers_not_stored", {{"message", failure.what()}});
    }
    const std::lock_guard lock(mutex_);
    peers_ = std::move(peers);
}

std::vector<Peers::Known> Peers::kept() const {
    const std::lock_guard lock(mutex_);
    return peers_;
}

std::vector<KnownNode> Peers::all() const {
    std::vector<KnownNode> nodes;
    for (Known& one : kept()) {
        nodes.push_back(std::move(one.node));
    }
    return nodes;
}

std::optional<KnownNode> Peers::beginner_of(const Epoch& epoch) const {
    const std::lock_guard lock(mutex_);
    const auto found =
        std::ranges::find_if(peers_, [&](const Known& one) { return one.begun.is_same_as(epoch); });
    return found == peers_.end() ? std::nullopt : std::optional<KnownNode>(found->node);
}

}  // namespace karma::replica
