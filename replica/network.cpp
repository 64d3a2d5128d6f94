#include "replica/network.h"

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
#include <utility>

#include "net/client_connection.h"
#include "net/resolver.h"

namespace karma::replica {
namespace {

[[noreturn]] void fail(const char* what) {
    throw ChannelError(std::string(what) + ": " + std::generic_category().message(errno));
}

class SocketPeerStream final : public PeerStream {
public:
    /// The stream stays the caller's when this throws.
    explicit SocketPeerStream(net::ByteStream& stream)
        : wake_file_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        if (wake_file_ < 0) {
            fail("cannot make an event file");
        }
        const int one = 1;
        ::setsockopt(stream.file(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        stream_ = std::move(stream);
    }
    ~SocketPeerStream() override { ::close(wake_file_); }

    std::size_t send(std::string_view bytes) override {
        const net::IoResult result = stream_.write(bytes);
        if (result.state != net::IoState::done && result.state != net::IoState::would_block) {
            throw ChannelError("the connection broke: " + stream_.failure());
        }
        return result.size;
    }

    std::size_t receive(char* bytes, std::size_t size) override {
        std::size_t got = 0;
        // Over TLS a read gives a record at most.
        do {
            const net::IoResult result = stream_.read({bytes + got, size - got});
            got += result.size;
            if (result.state == net::IoState::done) {
                continue;
            }
            if (result.state != net::IoState::would_block && got == 0) {
                throw ChannelError(result.state == net::IoState::ended
                                       ? "the other end closed the connection"
                                       : "the connection broke: " + stream_.failure());
            }
            break;
        } while (stream_.is_encrypted() && got < size);
        return got;
    }

    Ready wait(bool wants_to_receive, bool wants_to_send, std::chrono::milliseconds time) override {
        const bool is_ready = wants_to_receive && stream_.has_buffered();
        const short to_receive = wants_to_receive ? stream_.events_to_read() : short{0};
        const short to_send = wants_to_send ? stream_.events_to_write() : short{0};
        std::array<pollfd, 2> files{};
        files[0] = {stream_.file(), static_cast<short>(to_receive | to_send), 0};
        files[1] = {wake_file_, POLLIN, 0};
        const int ready = ::poll(files.data(), files.size(), is_ready ? 0 : static_cast<int>(time.count()));
        if (ready < 0 && errno != EINTR) {
            fail("cannot wait for the other end");
        }
        if (ready <= 0) {
            return {is_ready, false};
        }
        if (files[1].revents != 0) {
            std::uint64_t count = 0;
            [[maybe_unused]] const auto taken = ::read(wake_file_, &count, sizeof count);
        }
        const short found = files[0].revents;
        const bool is_broken = (found & ~(POLLIN | POLLOUT)) != 0;
        return {is_ready || (wants_to_receive && (is_broken || (found & to_receive) != 0)),
                (found & to_send) != 0};
    }

    void wake() noexcept override {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto written = ::write(wake_file_, &one, sizeof one);
    }

    void end() noexcept override { stream_.end(); }

private:
    net::ByteStream stream_;
    int wake_file_;
};

class SocketLineClient final : public LineClient {
public:
    SocketLineClient(const std::string& address, const Peer& peer, const net::TlsContext* tls)
        : connection_({tls == nullptr ? net::Transport::tcp : net::Transport::tls, address, peer.port, {}},
                      tls == nullptr ? nullptr : tls->connect(peer.host), peer.timeout, peer.stop) {
        connection_.limit_lines(peer.line_bytes_max);
    }

    std::string ask(const std::string& line) override {
        connection_.queue_line(line);
        connection_.flush();
        return std::string(connection_.read_line());
    }
    bool has_failed() const override { return connection_.failed(); }
    std::unique_ptr<PeerStream> release(std::string& received) override {
        return make_peer_stream(connection_.release(received));
    }

private:
    net::ClientConnection connection_;
};

class MachineNetwork final : public Network {
public:
    explicit MachineNetwork(std::shared_ptr<const net::TlsContext> tls = nullptr) : tls_(std::move(tls)) {}

    std::unique_ptr<LineClient> connect(const Peer& peer) override {
        const std::vector<std::string> addresses = net::resolve(peer.host, peer.timeout, peer.stop);
        for (std::size_t i = 0;; ++i) {
            try {
                return std::make_unique<SocketLineClient>(addresses[i], peer, tls_.get());
            } catch (const net::ConnectionError&) {
                if (i + 1 == addresses.size() || (peer.stop != nullptr && peer.stop->load())) {
                    throw;
                }
            }
        }
    }

private:
    std::shared_ptr<const net::TlsContext> tls_;  // null: in the clear
};

}  // namespace

Network& machine_network() {
    static MachineNetwork network;
    return network;
}

std::unique_ptr<Network> network_over(std::shared_ptr<const net::TlsContext> tls) {
    return std::make_unique<MachineNetwork>(std::move(tls));
}

std::unique_ptr<PeerStream> make_peer_stream(net::ByteStream stream,
                                             const std::function<std::string(const char* why)>& parting) {
    try {
        return std::make_unique<SocketPeerStream>(stream);
    } catch (const std::exception& failure) {
        if (parting) {
            stream.write(parting(failure.what()));
        }
        throw;
    }
}

}  // namespace karma::replica
