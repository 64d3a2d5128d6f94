#include "net/client_connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <boost/asio/connect.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "net/address_text.h"
#include "net/resolver.h"

namespace karma::net {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::size_t chunk_bytes = 65'536;

/// How often a wait looks whether it is to end.
constexpr auto stop_check = std::chrono::milliseconds(50);

std::string seconds_text(std::chrono::milliseconds time) {
    const auto count = time.count();
    if (count % 1'000 != 0) return std::to_string(count) + " ms";
    return std::to_string(count / 1'000) + (count == 1'000 ? " second" : " seconds");
}

}  // namespace

ClientConnection::ClientConnection(const std::string& host, std::uint16_t port,
                                   std::chrono::milliseconds timeout, const std::atomic<bool>* stop)
    : ClientConnection(EndpointUrl{Transport::tcp, host, port, {}}, nullptr, timeout, stop) {}

ClientConnection::ClientConnection(const EndpointUrl& endpoint, std::unique_ptr<TlsSession> tls,
                                   std::chrono::milliseconds timeout, const std::atomic<bool>* stop)
    : address_(endpoint.transport == Transport::tcp ? address_text(endpoint.host, endpoint.port)
                                                    : url_text(endpoint)),
      timeout_(timeout),
      stop_(stop),
      chunk_(chunk_bytes) {
    connect(endpoint, std::move(tls));
}

void ClientConnection::refuse(const std::string& why) const {
    throw ConnectionError("cannot connect to " + address_ + ": " + why);
}

void ClientConnection::connect(const EndpointUrl& endpoint, std::unique_ptr<TlsSession> tls) {
    const int file =
        endpoint.transport == Transport::unix_socket ? connect_unix(endpoint.path) : connect_tcp(endpoint);
    stream_ = ByteStream(file, std::move(tls));
    shake_hands();
}

int ClientConnection::connect_tcp(const EndpointUrl& endpoint) {
    const auto deadline = std::chrono::steady_clock::now() + timeout_;
    std::vector<tcp::endpoint> endpoints;
    try {
        for (const std::string& address : resolve(endpoint.host, timeout_, stop_)) {
            endpoints.emplace_back(asio::ip::make_address(address), endpoint.port);
        }
    } catch (const ConnectionError& failure) {
        refuse(failure.what());
    }
    asio::io_context io;
    tcp::socket socket(io);
    boost::system::error_code result = asio::error::would_block;
    asio::async_connect(socket, endpoints,
                        [&](const boost::system::error_code& outcome, const tcp::endpoint& /*endpoint*/) {
                            result = outcome;
                        });
    while (!io.stopped() && !is_stopped() && std::chrono::steady_clock::now() < deadline) {
        io.run_until(stop_ == nullptr ? deadline
                                      : std::min(deadline, std::chrono::steady_clock::now() + stop_check));
    }
    if (result == asio::error::would_block) refuse("no answer within " + seconds_text(timeout_));
    if (!result) socket.set_option(tcp::no_delay(true), result);
    if (!result) socket.non_blocking(true, result);
    if (result) refuse(result.message());
    return socket.release();
}

int ClientConnection::connect_unix(const std::string& path) {
    sockaddr_un address{};
    if (path.size() >= sizeof address.sun_path) refuse("the path is too long");
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int file = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (file < 0 || ::connect(file, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int error = errno;
        if (file >= 0) ::close(file);
        refuse(std::generic_category().message(error));
    }
    return file;
}

void ClientConnection::shake_hands() {
    const auto deadline = std::chrono::steady_clock::now() + timeout_;
    while (stream_.is_handshaking()) {
        const IoResult result = stream_.handshake();
        if (result.state == IoState::done) return;
        if (result.state != IoState::would_block) {
            refuse(result.state == IoState::ended ? "it was closed" : stream_.failure());
        }
        if (std::chrono::steady_clock::now() >= deadline || wait(stream_.events_to_read()) == 0) {
            refuse("no answer within " + seconds_text(timeout_));
        }
    }
}

void ClientConnection::queue_line(std::string_view line) {
    output_.append(line);
    output_.push_back('\n');
}

void ClientConnection::flush() {
    while (!failed() && output_sent_ < output_.size()) {
        send_some();
    }
    output_.clear();
    output_sent_ = 0;
}

void ClientConnection::send_some() {
    const IoResult result = stream_.write(std::string_view(output_).substr(output_sent_));
    output_sent_ += result.size;
    if (result.state == IoState::done) return;
    if (result.state == IoState::would_block) {
        const short ready = wait(static_cast<short>(stream_.events_to_write() | stream_.events_to_read()));
        if (ready == 0) fail("does not take requests any more, waited " + seconds_text(timeout_));
        if ((ready & POLLIN) != 0) receive_some();
        return;
    }
    // What the daemon has sent before it went away is still there to be read.
    const std::string why = stream_.failure();
    while (!failed()) {
        const auto before = input_.size() - input_start_;
        receive_some();
        if (input_.size() - input_start_ == before) break;
    }
    fail(why);
}

void ClientConnection::receive_some() {
    const IoResult result = stream_.read(chunk_);
    if (result.state == IoState::would_block) return;
    if (result.state == IoState::ended) {
        fail("the daemon closed it");
    } else if (result.state == IoState::failed) {
        fail(stream_.failure());
    } else {
        if (input_start_ == input_.size() || input_start_ > chunk_bytes) {
            input_.erase(0, input_start_);
            input_scanned_ -= input_start_;
            input_start_ = 0;
        }
        input_.append(chunk_.data(), result.size);
    }
}

std::string_view ClientConnection::read_line() {
    flush();
    while (true) {
        if (const auto line = buffered_line()) return *line;
        if (failed()) throw ConnectionError(*failure_);
        if (input_.size() - input_start_ > line_bytes_max_) {
            fail("a line of more than " + std::to_string(line_bytes_max_) + " bytes");
        } else if (wait_to_read() == 0) {
            fail("no reply, waited " + seconds_text(timeout_));
        } else {
            receive_some();
        }
    }
}

std::optional<std::string_view> ClientConnection::buffered_line() {
    const auto end = input_.find('\n', input_scanned_);
    if (end == std::string::npos) {
        input_scanned_ = input_.size();
        return std::nullopt;
    }
    std::string_view line(input_.data() + input_start_, end - input_start_);
    if (line.ends_with('\r')) line.remove_suffix(1);
    input_start_ = end + 1;
    input_scanned_ = input_start_;
    return line;
}

ByteStream ClientConnection::release(std::string& received) {
    received.assign(input_, input_start_);
    return std::move(stream_);
}

short ClientConnection::wait(short events) {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + timeout_;
    while (true) {
        auto left = std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()),
                             std::chrono::milliseconds(0));
        const bool is_last = stop_ == nullptr || left <= stop_check || is_stopped();
        if (stop_ != nullptr) left = is_stopped() ? std::chrono::milliseconds(0) : std::min(left, stop_check);
        pollfd descriptor{stream_.file(), events, 0};
        const int ready = ::poll(&descriptor, 1, static_cast<int>(left.count()));
        // An error or hang-up shows itself in the read that follows.
        if (ready > 0)
            return (descriptor.revents & ~(POLLIN | POLLOUT)) != 0 ? short{POLLIN} : descriptor.revents;
        if (ready == 0 && is_last) return 0;
        if (ready == 0) continue;
        if (errno != EINTR) {
            fail(std::generic_category().message(errno));
            return POLLIN;
        }
    }
}

void ClientConnection::fail(const std::string& why) {
    if (!failed()) failure_ = "connection to " + address_ + ": " + why;
}

}  // namespace karma::net
