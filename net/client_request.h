#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

/// Requests and replies of protocol v2 as a client writes and reads them.
namespace karma::net {

/// The line of a request for `op` with these fields, without its end. An empty `token` is left out.
std::string request_line(std::string_view op, std::string_view token, boost::json::object fields);

/// The members of a reply, which has `success`, a boolean, and `response`. Nothing if the line is no reply of
/// Karma.
std::optional<boost::json::object> parse_reply(std::string_view line);

}  // namespace karma::net
