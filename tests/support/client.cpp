#include "tests/support/client.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>

#include <boost/json/serialize.hpp>

#include "tests/support/loopback.h"

namespace karma::test {

namespace {

FileDescriptor connected_to(std::uint16_t port) {
    return needed(connect_to(port), ("cannot connect to 127.0.0.1:" + std::to_string(port)).c_str());
}

// False when the time has passed.
bool wait_for(const FileDescriptor& socket, short events, std::chrono::milliseconds timeout) {
    pollfd poll{.fd = socket.get(), .events = events, .revents = 0};
    int ready = 0;
    do {
        ready = ::poll(&poll, 1, static_cast<int>(timeout.count()));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

ConnectionClosed closed(const char* what, int error) {
    return ConnectionClosed(std::string(what) + ": " + std::generic_category().message(error));
}

}  // namespace

std::string request(std::string_view op, const json::object& fields) {
    json::object whole;
    whole["v"] = 2;
    whole["op"] = op;
    for (const auto& field : fields) whole[field.key()] = field.value();
    return json::serialize(whole);
}

Client::Client(std::uint16_t port, std::chrono::milliseconds timeout)
    : socket_(connected_to(port)), timeout_(timeout) {}

bool Client::wait_writable(std::chrono::milliseconds wait) { return wait_for(socket_, POLLOUT, wait); }

std::size_t Client::send_some(std::string_view bytes) {
    const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == EINTR) return 0;
    throw closed("cannot send", errno);
}

void Client::send(std::string_view bytes) {
    while (!bytes.empty()) {
        bytes.remove_prefix(send_some(bytes));
        if (!bytes.empty() && !wait_writable(timeout_)) {
            throw ClientTimeout("the server does not take " + std::to_string(bytes.size()) + " bytes");
        }
    }
}

void Client::finish_sending() { ::shutdown(socket_.get(), SHUT_WR); }

void Client::fill_buffer() {
    if (!wait_for(socket_, POLLIN, timeout_)) throw ClientTimeout("no reply from the server");
    if (start_ > 0) {
        buffer_.erase(0, start_);
        start_ = 0;
    }
    std::array<char, 65536> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by recv
    const ssize_t got = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
    if (got < 0) throw closed("cannot receive", errno);
    if (got == 0) throw ConnectionClosed("the server has closed the connection");
    buffer_.append(chunk.data(), static_cast<std::size_t>(got));
}

std::string Client::receive_line() {
    std::size_t searched = 0;  // of what is not handed out
    for (;;) {
        const std::size_t newline = buffer_.find('\n', start_ + searched);
        if (newline == std::string::npos) {
            searched = buffer_.size() - start_;
            fill_buffer();
            continue;
        }
        std::string line = buffer_.substr(start_, newline - start_);
        start_ = newline + 1;
        if (!line.ends_with('\r')) throw std::runtime_error("a reply that does not end in \\r\\n: " + line);
        line.pop_back();
        return line;
    }
}

bool Client::closed_by_server() {
    try {
        if (start_ == buffer_.size()) fill_buffer();
    } catch (const ConnectionClosed&) {
        return true;
    }
    throw std::runtime_error("the server sends more instead of closing: " + buffer_.substr(start_, 500));
}

json::value Client::ask_line(std::string_view line) {
    send_line(line);
    return receive();
}

json::value Client::call(std::string_view op, const json::object& fields) {
    json::value reply = ask(op, fields);
    if (member(reply, "success") != json::value(true)) {
        throw std::runtime_error(request(op, fields).substr(0, 500) + " was answered " +
                                 json::serialize(reply));
    }
    return member(reply, "response");
}

std::string Client::error_of(std::string_view op, const json::object& fields) {
    const json::value reply = ask(op, fields);
    const json::value& code = member(reply, "error_code");
    return code.is_string() ? std::string(code.get_string()) : std::string();
}

}  // namespace karma::test
