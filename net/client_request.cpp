#include "net/client_request.h"

#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace karma::net {

namespace json = boost::json;

std::string request_line(std::string_view op, std::string_view token, json::object fields) {
    fields["v"] = 2;
    fields["op"] = op;
    if (!token.empty()) {
        fields["token"] = token;
    }
    return json::serialize(fields);
}

std::optional<json::object> parse_reply(std::string_view line) {
    boost::system::error_code failure;
    json::value value = json::parse(line, failure);
    json::object* const object = failure ? nullptr : value.if_object();
    const json::value* const success = object == nullptr ? nullptr : object->if_contains("success");
    if (success == nullptr || !success->is_bool() || !object->contains("response")) {
        return std::nullopt;
    }
    return std::move(*object);
}

}  // namespace karma::net
