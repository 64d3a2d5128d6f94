#include "replica/master_client.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace karma::replica {

namespace json = boost::json;

json::value MasterClient::ask(std::string_view op, json::object fields) {
    fields["v"] = 2;
    fields["op"] = op;
    if (!address_.token.empty()) {
        fields["token"] = address_.token;
    }
    const std::string line = json::serialize(fields);
    // The other end closes a connection that was silent for some time.
    if (!connection_ || connection_->failed()) {
        connection_.reset();
        connection_.emplace(address_.host, address_.port, address_.timeout, address_.stop);
    }
    std::string answer;
    try {
        connection_->queue_line(line);
        answer = connection_->read_line();
    } catch (const net::ConnectionError&) {
        connection_.reset();
        connection_.emplace(address_.host, address_.port, address_.timeout, address_.stop);
        connection_->queue_line(line);
        answer = connection_->read_line();
    }
    boost::system::error_code failure;
    json::value value = json::parse(answer, failure);
    json::object* const object = failure ? nullptr : value.if_object();
    const json::value* const success = object == nullptr ? nullptr : object->if_contains("success");
    if (success == nullptr || !success->is_bool() || !object->contains("response")) {
        throw ChannelError("what answers there is no Karma");
    }
    if (success->get_bool()) {
        return std::move(object->at("response"));
    }
    const json::value* const code = object->if_contains("error_code");
    throw RefusedError(code != nullptr && code->is_string() ? std::string(code->get_string()) : "",
                       std::string(op) + ": " + json::serialize(object->at("response")));
}

std::optional<std::uint32_t> MasterClient::checksum_at(Lsn lsn) {
    const json::value response = ask("replication.position", {{"lsn", lsn}});
    const json::value* const checksum =
        response.is_object() ? response.get_object().if_contains("checksum") : nullptr;
    if (checksum == nullptr || !checksum->is_number()) {
        return std::nullopt;
    }
    boost::system::error_code failure;
    const auto number = checksum->to_number<std::uint32_t>(failure);
    return failure ? std::nullopt : std::optional(number);
}

}  // namespace karma::replica
