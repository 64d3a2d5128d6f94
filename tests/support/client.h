#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/support/file_descriptor.h"
#include "tests/support/json.h"
#include "tests/support/settings.h"

namespace karma::test {

// The server has closed or reset the connection.
class ConnectionClosed : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Nothing came, or nothing could be sent, for as long as the client waits.
class ClientTimeout : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// A request as protocol v2 writes it, without a newline: {"v":2,"op":…} and the fields.
std::string request(std::string_view op, const json::object& fields = {});

// One connection to a daemon on 127.0.0.1, used by one thread. Every call waits, at most `timeout` without
// progress.
class Client {
public:
    // Throws std::system_error when nobody listens.
    explicit Client(std::uint16_t port, std::chrono::milliseconds timeout = patience());

    // --- bytes and lines ---

    // Sends all the bytes. Throws ConnectionClosed, ClientTimeout.
    void send(std::string_view bytes);
    // Sends what the connection takes at once and returns how many bytes that was. Throws ConnectionClosed.
    std::size_t send_some(std::string_view bytes);
    // Waits until send_some would send something or the connection has failed; false when `wait` has passed
    // before.
    bool wait_writable(std::chrono::milliseconds wait);
    void send_line(std::string_view line) { send(std::string(line) + '\n'); }
    // The next reply without its \r\n. Throws ConnectionClosed, ClientTimeout, or std::runtime_error when the
    // line does not end in \r\n.
    std::string receive_line();
    // True when the server closes the connection without sending anything further; throws ClientTimeout when
    // it does neither, std::runtime_error with the text when more comes.
    bool closed_by_server();
    // Tells the server that nothing more will be sent.
    void finish_sending();

    // --- requests and replies ---

    json::value receive() { return parse_json(receive_line()); }
    // Sends one line, receives one reply.
    json::value ask_line(std::string_view line);
    json::value ask(std::string_view op, const json::object& fields = {}) {
        return ask_line(request(op, fields));
    }
    // The "response" of a reply that must be a success. Throws std::runtime_error with request and reply
    // otherwise.
    json::value call(std::string_view op, const json::object& fields = {});
    // The "error_code" of a reply; empty when it was a success.
    std::string error_of(std::string_view op, const json::object& fields = {});

private:
    void fill_buffer();

    FileDescriptor socket_;
    std::chrono::milliseconds timeout_;
    std::string buffer_;
    std::size_t start_ = 0;  // of what is not handed out yet
};

}  // namespace karma::test
