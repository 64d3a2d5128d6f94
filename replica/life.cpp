#include "replica/life.h"

#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "engine/identity.h"
#include "replica/channel.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

/// Longer chains are rings, or nobody's intention.
constexpr std::size_t chain_nodes_max = 64;

json::object object_of(const NodeName& node) { return {{"id", node.id}, {"name", node.name}}; }

NodeName node_of(const JsonFields& fields) {
    return {fields.number_if_any("id").value_or(0), fields.text_if_any("name").value_or("")};
}

json::array array_of(const std::vector<KnownNode>& nodes) {
    json::array array;
    for (const KnownNode& known : nodes) {
        json::object node = object_of(known.node);
        node["host"] = known.host;
        node["port"] = known.port;
        array.push_back(std::move(node));
    }
    return array;
}

/// The first ones, `count_max` at most, without those whose port is none.
std::vector<KnownNode> nodes_in(const json::array& array, std::size_t count_max) {
    std::vector<KnownNode> nodes;
    for (const json::value& one : array) {
        const JsonFields node(one);
        const std::uint64_t port = node.number_if_any("port").value_or(0);
        if (port <= UINT16_MAX && nodes.size() < count_max) {
            nodes.push_back(
                {node_of(node), node.text_if_any("host").value_or(""), static_cast<std::uint16_t>(port)});
        }
    }
    return nodes;
}

}  // namespace

std::string write_life(const Life& life) {
    json::array chain;
    for (const NodeName& node : life.chain) {
        chain.push_back(object_of(node));
    }
    json::object object{{"role", life.role},
                        {"known_epoch", life.known_epoch.number},
                        {"known_epoch_id", life.known_epoch.id},
                        {"chain", std::move(chain)},
                        {"others", array_of(life.others)}};
    if (life.peers) {
        object["peers"] = array_of(*life.peers);
    }
    if (!life.doubt.empty()) {
        object["doubt"] = life.doubt;
    }
    if (!life.failure.empty()) {
        object["failure"] = life.failure;
    }
    if (life.master_heard) {
        object["master_heard_ms"] = life.master_heard->count();
    }
    if (life.min_acks) {
        object["min_acks"] = *life.min_acks;
    }
    if (life.counted) {
        object["counted"] = to_json(*life.counted);
    }
    return json::serialize(object);
}

Life read_life(std::string_view text) {
    boost::system::error_code failure;
    const json::value value = json::parse(text, failure);
    if (failure) {
        throw ChannelError("what the source says of itself is no JSON");
    }
    const JsonFields fields(value);
    Life life;
    life.role = fields.text_if_any("role").value_or("");
    life.known_epoch = {fields.number_if_any("known_epoch").value_or(0),
                        fields.number_if_any("known_epoch_id").value_or(0), 0};
    life.doubt = fields.text_if_any("doubt").value_or("");
    life.failure = fields.text_if_any("failure").value_or("");
    if (!fields.is_null("chain")) {
        for (const json::value& node : fields.array("chain")) {
            life.chain.push_back(node_of(JsonFields(node)));
        }
    }
    if (life.chain.size() > chain_nodes_max) {
        throw ChannelError("there are more than " + std::to_string(chain_nodes_max) +
                           " nodes between here and the master");
    }
    if (const auto heard = fields.number_if_any("master_heard_ms")) {
        constexpr std::uint64_t ms_max = 1ULL << 40U;
        life.master_heard = std::chrono::milliseconds(std::min(*heard, ms_max));
    }
    life.min_acks = fields.number_if_any("min_acks");
    if (const json::value* const counted = fields.find("counted"); counted != nullptr) {
        life.counted = counted_list_in(*counted);
    }
    if (!fields.is_null("others")) {
        life.others = nodes_in(fields.array("others"), others_told_max);
    }
    if (!fields.is_null("peers")) {
        life.peers = nodes_in(fields.array("peers"), peers_told_max);
    }
    return life;
}

std::string chain_text(const std::vector<NodeName>& chain) {
    std::string text;
    for (const NodeName& node : chain) {
        text += (text.empty() ? "" : " > ") + node_id_text(node.id);
    }
    return text;
}

const char* role_text(Role role) noexcept {
    switch (role) {
        case Role::master: return "master";
        case Role::fenced: return "fenced";
        case Role::slave: break;
    }
    return "slave";
}

}  // namespace karma::replica
