#include "replica/handshake.h"

#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "net/client_request.h"
#include "replica/channel.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

namespace {

/// A request line has its limit at the source, at least 4 KiB: so many marks are told, the latest ones.
constexpr std::size_t marks_bytes_max = 1536;

json::array marks_told(const std::vector<HistoryMark>& marks) {
    json::array told;
    std::size_t bytes = 0;
    for (const HistoryMark& mark : marks) {
        bytes += std::to_string(mark.lsn).size() + std::to_string(mark.checksum.value_or(0)).size() + 2;
        if (bytes > marks_bytes_max) {
            break;
        }
        if (mark.checksum) {
            told.emplace_back(mark.lsn);
            told.emplace_back(*mark.checksum);
        }
    }
    return told;
}

void put_database_id(json::object& fields, const DatabaseId& id) {
    if (id.is_known()) {
        fields["database_id"] = id.text();
    }
}

DatabaseId database_id_in(const JsonFields& fields) {
    const std::optional<std::string> text = fields.text_if_any("database_id");
    const std::optional<DatabaseId> id = text ? DatabaseId::from_text(*text) : DatabaseId();
    if (!id) {
        throw ChannelError("the master's reply has a field database_id that is none");
    }
    return *id;
}

NodeId to_node_id(const json::value& text) {
    const std::optional<NodeId> id =
        text.is_string() ? node_id_from_text(std::string_view(text.get_string())) : std::nullopt;
    if (!id) {
        throw ChannelError("the master's reply has a node id that is none");
    }
    return *id;
}

/// Of what is in either kind of reply.
void put_position(json::object& fields, const SubscribeReply& reply) {
    fields["lsn"] = reply.lsn;
    fields["epoch"] = reply.known_epoch.number;
    fields["epoch_id"] = reply.known_epoch.id;
    put_database_id(fields, reply.database_id);
    fields["node_id"] = node_id_text(reply.node_id);
    fields["role"] = reply.role;
}

void read_position(const JsonFields& fields, SubscribeReply& reply) {
    reply.lsn = fields.number_if_any("lsn").value_or(0);
    reply.known_epoch = {fields.number_if_any("epoch").value_or(0),
                         fields.number_if_any("epoch_id").value_or(0), 0};
    reply.database_id = database_id_in(fields);
    if (const json::value* const node = fields.find("node_id")) {
        reply.node_id = to_node_id(*node);
    }
    reply.role = fields.text_if_any("role").value_or("");
}

}  // namespace

std::string subscribe_line(const net::Subscription& subscription, const std::string& token) {
    json::object fields{{"format", subscription.format},
                        {"name", subscription.name},
                        {"after_lsn", subscription.after_lsn},
                        {"checksum", nullptr},
                        {"heartbeat_ms", subscription.heartbeat_ms},
                        {"node_id", node_id_text(subscription.node_id)},
                        {"known_epoch", subscription.known_epoch.number},
                        {"known_epoch_id", subscription.known_epoch.id},
                        {"empty", subscription.is_empty ? 1 : 0},
                        {"syncs", subscription.syncs ? 1 : 0},
                        {"port", subscription.port},
                        {"fails_over", subscription.fails_over ? 1 : 0},
                        {"stores_lists", subscription.stores_lists ? 1 : 0}};
    if (subscription.checksum) {
        fields["checksum"] = *subscription.checksum;
    }
    put_database_id(fields, subscription.database_id);
    if (!subscription.order.empty()) {
        fields["order"] = subscription.order;
    }
    json::array epochs;
    const std::size_t skipped =
        subscription.epochs.size() - std::min(subscription.epochs.size(), epochs_told_max);
    for (std::size_t i = skipped; i < subscription.epochs.size(); ++i) {
        epochs.emplace_back(subscription.epochs[i].number);
        epochs.emplace_back(subscription.epochs[i].id);
        epochs.emplace_back(subscription.epochs[i].first_lsn);
    }
    fields["epochs"] = std::move(epochs);
    fields["epochs_skipped"] = subscription.epochs_skipped + skipped;
    fields["marks"] = marks_told(subscription.marks);
    return net::request_line("replication.subscribe", token, std::move(fields));
}

std::string reply_line(const SubscribeReply& reply) {
    json::object line{{"protocol_version", 2}, {"success", reply.accepted}};
    if (reply.accepted) {
        json::object response{{"format", stream_format},
                              {"mode", reply.state_follows ? "state" : "stream"},
                              {"proved", reply.is_proved},
                              {"reason", reply.reason},
                              {"common_lsn", nullptr},
                              {"generation", reply.generation},
                              {"idempotency_max_records", reply.retention.records_max},
                              {"idempotency_max_age_seconds", reply.retention.age_max_s}};
        if (reply.common_lsn) {
            response["common_lsn"] = *reply.common_lsn;
        }
        put_position(response, reply);
        json::array chain;
        for (const NodeId node : reply.chain) {
            chain.emplace_back(node_id_text(node));
        }
        response["chain"] = std::move(chain);
        line["response"] = std::move(response);
        line["error_code"] = nullptr;
    } else {
        line["response"] = reply.message;
        line["error_code"] = reply.error_code;
        line["reason"] = reply.reason;
        line["common_lsn"] = nullptr;
        if (reply.common_lsn) {
            line["common_lsn"] = *reply.common_lsn;
        }
        put_position(line, reply);
    }
    return json::serialize(line) + "\r\n";
}

SubscribeReply read_reply(std::string_view line) {
    const std::optional<json::object> members = net::parse_reply(line);
    if (!members) {
        throw ChannelError("what answers there is no Karma");
    }
    SubscribeReply reply;
    reply.accepted = members->at("success").get_bool();
    if (!reply.accepted) {
        const JsonFields fields(*members);
        reply.error_code = fields.text_if_any("error_code").value_or("");
        reply.reason = fields.text_if_any("reason").value_or("");
        reply.message = fields.text_if_any("response").value_or("");
        reply.common_lsn = fields.number_if_any("common_lsn");
        read_position(fields, reply);  // who does not know what was asked, or whom, tells nothing of it
        return reply;
    }
    const JsonFields fields(members->at("response"));
    if (const std::uint64_t format = fields.number("format"); format != stream_format) {
        throw ChannelError("the master speaks format " + std::to_string(format) +
                           " of the stream, this node " + std::to_string(stream_format) +
                           ": they need programs of one version");
    }
    reply.state_follows = fields.text("mode") == "state";
    reply.is_proved = fields.flag("proved");
    reply.lsn = fields.number("lsn");
    reply.reason = fields.text_if_any("reason").value_or("");
    reply.common_lsn = fields.number_if_any("common_lsn");
    reply.generation = fields.number_if_any("generation").value_or(0);
    constexpr std::uint64_t records_limit = std::uint64_t{1} << 31U;
    constexpr std::uint64_t age_limit = std::uint64_t{1} << 40U;
    reply.retention.records_max =
        std::clamp<std::uint64_t>(fields.number("idempotency_max_records"), 1, records_limit);
    reply.retention.age_max_s =
        static_cast<std::int64_t>(std::min(fields.number("idempotency_max_age_seconds"), age_limit));
    read_position(fields, reply);
    if (fields.find("chain") != nullptr) {
        for (const json::value& node : fields.array("chain")) {
            reply.chain.push_back(to_node_id(node));
        }
    }
    return reply;
}

}  // namespace karma::replica
