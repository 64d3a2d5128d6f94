#include "replica/master_client.h"

#include <utility>

#include <boost/json/serialize.hpp>

#include "net/client_connection.h"
#include "net/client_request.h"
#include "replica/json_fields.h"

namespace karma::replica {

namespace json = boost::json;

MasterClient::MasterClient(Network& network, Peer master, std::string token)
    : network_(network), master_(std::move(master)), token_(std::move(token)) {
    constexpr std::size_t reply_bytes_max = std::size_t{64} << 20U;
    master_.line_bytes_max = reply_bytes_max;
}

void MasterClient::connect() {
    line_.reset();
    line_ = network_.connect(master_);
}

json::value MasterClient::ask(std::string_view op, json::object fields) {
    const std::string line = net::request_line(op, token_, std::move(fields));
    // The other end closes a connection that was silent for some time.
    if (!line_ || line_->has_failed()) {
        connect();
    }
    std::string answer;
    try {
        answer = line_->ask(line);
    } catch (const net::ConnectionError&) {
        connect();
        answer = line_->ask(line);
    }
    std::optional<json::object> reply = net::parse_reply(answer);
    if (!reply) {
        throw ChannelError("what answers there is no Karma");
    }
    json::value& response = reply->at("response");
    if (reply->at("success").get_bool()) {
        return std::move(response);
    }
    throw RefusedError(JsonFields(*reply).text_if_any("error_code").value_or(""),
                       std::string(op) + ": " + json::serialize(response));
}

std::optional<std::uint64_t> MasterClient::checksum_at(Lsn lsn) {
    const json::value response = ask("replication.position", {{"lsn", lsn}});
    return JsonFields(response).number_if_any("checksum");
}

}  // namespace karma::replica
