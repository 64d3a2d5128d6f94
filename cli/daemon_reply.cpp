#include "cli/daemon_reply.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "cli/text.h"
#include "net/client_request.h"

namespace karma::cli {

namespace json = boost::json;

void no_reply_of_karma(std::string_view line) {
    throw net::ConnectionError("the daemon answers something that is no reply of Karma: " +
                               cli::quoted(line, 200));
}

json::object parse_reply(std::string_view line) {
    std::optional<json::object> reply = net::parse_reply(line);
    if (!reply) {
        no_reply_of_karma(line);
    }
    return std::move(*reply);
}

std::string text_member(const json::object& object, std::string_view name) {
    const json::value* const value = object.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

void throw_refused(const json::object& reply) {
    throw RefusedError("the daemon refuses: " + text_member(reply, "error_code") + ": " +
                       text_member(reply, "response"));
}

DaemonClient::DaemonClient(const ClientOptions& options) : options_(options), connection_(connect(options)) {}

json::value DaemonClient::ask(std::string_view op, json::object fields) {
    connection_.queue_line(net::request_line(op, options_.token, std::move(fields)));
    connection_.flush();
    json::object reply = parse_reply(connection_.read_line());
    if (!reply.at("success").as_bool()) {
        throw_refused(reply);
    }
    return std::move(reply.at("response"));
}

json::value DaemonClient::ask_patiently(std::string_view op, json::object fields,
                                        std::chrono::milliseconds timeout) {
    connection_.set_timeout(std::max(timeout, options_.timeout));
    json::value response = ask(op, std::move(fields));
    connection_.set_timeout(options_.timeout);
    return response;
}

}  // namespace karma::cli
