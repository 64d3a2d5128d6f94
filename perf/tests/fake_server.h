#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <boost/asio.hpp>

namespace karma::perf {

// A server on a free port of 127.0.0.1 that answers each line by a function. One thread calls it for all
// connections.
class FakeServer {
public:
    // Gets a line without its end and gives the bytes to answer; none closes the connection, "" answers
    // nothing.
    using Answer = std::function<std::optional<std::string>(const std::string& line)>;

    explicit FakeServer(Answer answer);
    // Closes everything.
    ~FakeServer();
    FakeServer(const FakeServer&) = delete;
    FakeServer& operator=(const FakeServer&) = delete;

    std::uint16_t port() const { return port_; }

private:
    struct Session;

    void accept();

    Answer answer_;
    boost::asio::io_context loop_{1};
    boost::asio::ip::tcp::acceptor acceptor_;
    std::uint16_t port_;
    std::jthread thread_;
};

}  // namespace karma::perf
