#include "replica/peers.h"

#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "replica/channel.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

std::vector<KnownNode> read_peers(std::string_view text) {
    boost::system::error_code failure;
    const json::value value = json::parse(text, failure);
    std::vector<KnownNode> peers;
    if (failure || !value.is_array()) {
        throw ChannelError("the list of nodes that are known is damaged");
    }
    for (const json::value& one : value.get_array()) {
        const JsonFields fields(one);
        peers.push_back({{fields.number("id"), std::string(fields.text("name"))},
                         std::string(fields.text("host")),
                         static_cast<std::uint16_t>(fields.number("port"))});
    }
    return peers;
}

std::string write_peers(const std::vector<KnownNode>& peers) {
    json::array all;
    for (const KnownNode& peer : peers) {
        all.push_back(json::object{
            {"id", peer.node.id}, {"name", peer.node.name}, {"host", peer.host}, {"port", peer.port}});
    }
    return json::serialize(all);
}

bool is_same_place(const KnownNode& one, const KnownNode& other) {
    return one.host == other.host && one.port == other.port;
}

}  // namespace

Peers::Peers(Replicated& database, net::Log& log) : database_(database), log_(log) {
    try {
        if (const std::optional<std::string> kept = database_.read_note(peers_note)) {
            peers_ = read_peers(*kept);
        }
    } catch (const std::exception& failure) {
        log_.error("peers_lost",
                   {{"message", failure.what()},
                    {"effect", "a promotion is not announced to nodes that were known before"}});
    }
}

void Peers::note(const KnownNode& node) {
    if (node.host.empty() || node.port == 0) {
        return;
    }
    const std::lock_guard lock(mutex_);
    if (std::ranges::find(peers_, node) != peers_.end()) {
        return;
    }
    std::erase_if(peers_, [&](const KnownNode& one) {
        return is_same_place(one, node) || (node.node.id != 0 && one.node.id == node.node.id);
    });
    peers_.push_back(node);
    if (peers_.size() > peers_max) {
        peers_.erase(peers_.begin());
    }
    try {
        database_.write_note(peers_note, write_peers(peers_));
    } catch (const std::exception& failure) {
        log_.error("peers_not_stored", {{"message", failure.what()}});
    }
}

std::vector<KnownNode> Peers::all() const {
    const std::lock_guard lock(mutex_);
    return peers_;
}

}  // namespace karma::replica
