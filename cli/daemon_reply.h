#pragma once

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "cli/client_options.h"
#include "net/client_connection.h"

namespace karma::cli {

/// The daemon has refused a request; the text has the reason.
class RefusedError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The members of a reply: `success`, a boolean, and `response` are there. Throws net::ConnectionError when
/// the line is no reply of Karma.
boost::json::object parse_reply(std::string_view line);

/// A member that is a string; empty where there is none.
std::string text_member(const boost::json::object& object, std::string_view name);

/// Throws RefusedError with the error code and the message of a reply.
[[noreturn]] void throw_refused(const boost::json::object& reply);

/// Throws net::ConnectionError because a line is no reply of Karma.
[[noreturn]] void no_reply_of_karma(std::string_view line);

/// Sends requests to a running daemon, one after the other.
class DaemonClient {
public:
    /// Connects. Throws net::ConnectionError.
    explicit DaemonClient(const ClientOptions& options);

    /// The response to a request with these fields. Throws net::ConnectionError and RefusedError.
    boost::json::value ask(std::string_view op, boost::json::object fields = {});

    /// The same, of an op whose reply may take as long as `timeout`, where that is more than the options say.
    boost::json::value ask_patiently(std::string_view op, boost::json::object fields,
                                     std::chrono::milliseconds timeout);

private:
    ClientOptions options_;
    net::ClientConnection connection_;
};

}  // namespace karma::cli
