#include "tests/program/karma1_proxy.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "tests/support/client.h"
#include "tests/support/loopback.h"

namespace karma::test {

namespace {

constexpr const char* unknown_op =
    R"({"protocol_version":2,"success":false,"response":"Unknown op replication.subscribe",)"
    R"("error_code":"unknown_command"})";

void require(bool good, const char* what) {
    if (!good) throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

Karma1Proxy::Karma1Proxy(std::uint16_t daemon_port)
    : daemon_port_(daemon_port), listener_(needed(listen_on(0), "cannot listen")) {
    port_ = port_of(listener_);
    std::array<int, 2> ends{};
    require(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe");
    stop_read_ = FileDescriptor(ends[0]);
    stop_write_ = FileDescriptor(ends[1]);
    thread_ = std::thread([this] { run(); });
}

Karma1Proxy::~Karma1Proxy() {
    stopping_ = true;
    stop_write_.reset();
    thread_.join();
}

bool Karma1Proxy::wait_readable(const FileDescriptor& descriptor) const {
    std::array<pollfd, 2> waiting{pollfd{descriptor.get(), POLLIN, 0}, pollfd{stop_read_.get(), POLLIN, 0}};
    return ::poll(waiting.data(), waiting.size(), -1) > 0 && waiting[1].revents == 0;
}

void Karma1Proxy::wait_until_loud() const {
    while (silent_ && !stopping_) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

void Karma1Proxy::run() {
    std::vector<std::thread> connections;
    while (wait_readable(listener_)) {
        FileDescriptor connection = accept_from(listener_);
        if (!connection.valid()) continue;
        connections.emplace_back([this, taken = std::move(connection)] { serve(taken); });
    }
    for (std::thread& connection : connections) connection.join();
}

void Karma1Proxy::serve(const FileDescriptor& connection) {
    try {
        Client daemon(daemon_port_);
        std::string input;
        while (wait_readable(connection)) {
            std::array<char, 65'536> chunk{};
            const ssize_t count = ::recv(connection.get(), chunk.data(), chunk.size(), 0);
            if (count <= 0) return;
            input.append(chunk.data(), static_cast<std::size_t>(count));
            for (std::size_t end = input.find('\n'); end != std::string::npos; end = input.find('\n')) {
                const std::string line = input.substr(0, end);
                input.erase(0, end + 1);
                wait_until_loud();
                const bool subscribes = line.find("\"replication.subscribe\"") != std::string::npos;
                if (subscribes) ++subscriptions_;
                if (!subscribes) daemon.send_line(line);
                const std::string reply = subscribes ? unknown_op : daemon.receive_line();
                if (!send_all(connection, reply + "\r\n")) return;
            }
        }
    } catch (const std::exception&) {
        return;  // the daemon is gone: so is this connection
    }
}

}  // namespace karma::test
