#include "replica/network.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

#include "net/client_connection.h"
#include "net/resolver.h"

namespace karma::replica {
namespace {

[[noreturn]] void fail(const char* what) {
    throw ChannelError(std::string(what) + ": " + std::generic_category().message(errno));
}

class SocketWire final : public Wire {
public:
    /// The file stays the caller's when this throws.
    explicit SocketWire(int file) : file_(file), wake_file_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        const int one = 1;
        ::setsockopt(file_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (wake_file_ < 0) {
            fail("cannot make an event file");
        }
    }
    ~SocketWire() override {
        ::close(file_);
        ::close(wake_file_);
    }

    std::size_t send(std::string_view bytes) override {
        while (true) {
            const ssize_t sent = ::send(file_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent >= 0) {
                return static_cast<std::size_t>(sent);
            }
            if (errno == EAGAIN) {
                return 0;
            }
            if (errno != EINTR) {
                fail("the connection broke");
            }
        }
    }

    std::size_t receive(char* bytes, std::size_t size) override {
        const ssize_t got = ::recv(file_, bytes, size, 0);
        if (got == 0) {
            throw ChannelError("the other end closed the connection");
        }
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            fail("the connection broke");
        }
        return static_cast<std::size_t>(std::max<ssize_t>(got, 0));
    }

    Ready wait(bool wants_to_receive, bool wants_to_send, std::chrono::milliseconds time) override {
        std::array<pollfd, 2> files{};
        const int wanted = (wants_to_receive ? POLLIN : 0) | (wants_to_send ? POLLOUT : 0);
        files[0] = {file_, static_cast<short>(wanted), 0};
        files[1] = {wake_file_, POLLIN, 0};
        const int ready = ::poll(files.data(), files.size(), static_cast<int>(time.count()));
        if (ready < 0 && errno != EINTR) {
            fail("cannot wait for the other end");
        }
        if (ready <= 0) {
            return {};
        }
        if (files[1].revents != 0) {
            std::uint64_t count = 0;
            [[maybe_unused]] const auto taken = ::read(wake_file_, &count, sizeof count);
        }
        return {wants_to_receive && (files[0].revents & ~POLLOUT) != 0, (files[0].revents & POLLOUT) != 0};
    }

    void wake() noexcept override {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(wake_file_, &one, sizeof one);
    }

    void end() noexcept override { ::shutdown(file_, SHUT_RDWR); }

private:
    int file_;
    int wake_file_;
};

class SocketLine final : public Line {
public:
    SocketLine(const std::string& address, const Peer& peer)
        : connection_(address, peer.port, peer.timeout, peer.stop) {
        connection_.limit_lines(peer.line_bytes_max);
    }

    std::string ask(const std::string& line) override {
        connection_.queue_line(line);
        connection_.flush();
        return std::string(connection_.read_line());
    }
    bool has_failed() const override { return connection_.failed(); }
    std::unique_ptr<Wire> release(std::string& received) override {
        return socket_wire(connection_.release(received));
    }

private:
    net::ClientConnection connection_;
};

class MachineNetwork final : public Network {
public:
    std::unique_ptr<Line> connect(const Peer& peer) override {
        const std::vector<std::string> addresses = net::resolve(peer.host, peer.timeout, peer.stop);
        for (std::size_t i = 0;; ++i) {
            try {
                return std::make_unique<SocketLine>(addresses[i], peer);
            } catch (const net::ConnectionError&) {
                if (i + 1 == addresses.size() || (peer.stop != nullptr && peer.stop->load())) {
                    throw;
                }
            }
        }
    }
};

}  // namespace

Network& machine_network() {
    static MachineNetwork network;
    return network;
}

std::unique_ptr<Wire> socket_wire(int file, const std::function<std::string(const char* why)>& parting) {
    try {
        return std::make_unique<SocketWire>(file);
    } catch (const std::exception& failure) {
        if (parting) {
            const std::string words = parting(failure.what());
            [[maybe_unused]] const auto sent = ::send(file, words.data(), words.size(), MSG_NOSIGNAL);
        }
        ::close(file);
        throw;
    }
}

}  // namespace karma::replica
