#include "perf/load/connection.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "net/tls_context.h"

namespace karma::perf {

namespace {

std::string error_text(int number) { return std::generic_category().message(number); }

std::string where(const LoadOptions& options) { return options.host + ":" + std::to_string(options.port); }

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses resolve(const LoadOptions& options) {
    addrinfo wanted{};
    wanted.ai_family = AF_UNSPEC;
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error =
        getaddrinfo(options.host.c_str(), std::to_string(options.port).c_str(), &wanted, &found);
    if (error != 0) throw RunError("--host " + options.host + ": " + gai_strerror(error));
    return {found, &freeaddrinfo};
}

// Waits until the socket is ready for the poll events; false when that takes too long.
bool wait_ready(int descriptor, short events, double timeout_seconds) {
    pollfd one{descriptor, events, 0};
    const std::uint64_t end = now_ns() + seconds_to_ns(timeout_seconds);
    for (;;) {
        const std::uint64_t now = now_ns();
        if (now >= end) return false;
        const int ready =
            poll(&one, 1, static_cast<int>(std::min<std::uint64_t>((end - now) / 1'000'000 + 1, 60'000)));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) throw RunError("poll: " + error_text(errno));
    }
}

// The socket, or -1 with errno set.
int connect_to(const addrinfo& address, double timeout_seconds) {
    const int descriptor =
        socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol);
    if (descriptor < 0) return -1;
    int error = connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        socklen_t size = sizeof error;
        if (!wait_ready(descriptor, POLLOUT, timeout_seconds)) {
            error = ETIMEDOUT;
        } else if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
            error = errno;
        }
    }
    if (error == 0) return descriptor;
    close(descriptor);
    errno = error;
    return -1;
}

int connect_to(const LoadOptions& options) {
    const Addresses addresses = resolve(options);
    for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
        const int descriptor = connect_to(*address, options.timeout_seconds);
        if (descriptor >= 0) return descriptor;
    }
    throw RunError("cannot connect to " + where(options) + ": " + error_text(errno));
}

std::unique_ptr<net::TlsSession> tls_session(const LoadOptions& options) {
    if (options.tls_authorities.empty()) return nullptr;
    // One for all connections, as a client has it.
    static const auto context = net::TlsContext::for_client({"", "", options.tls_authorities});
    return context->connect(options.host);
}

}  // namespace

Connection::Connection(const LoadOptions& options)
    : stream_(connect_to(options), tls_session(options)),
      split_writes_(options.split_writes),
      reader_(options.protocol),
      sent_(options.in_flight) {
    const int on = 1;
    if (!split_writes_ && setsockopt(stream_.file(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) {
        throw RunError("TCP_NODELAY: " + error_text(errno));
    }
    shake_hands(options);
    if (options.protocol == Protocol::redis && !options.token.empty()) authenticate(options);
}

void Connection::shake_hands(const LoadOptions& options) {
    while (stream_.is_handshaking()) {
        const net::IoState state = stream_.handshake().state;
        if (state != net::IoState::done && state != net::IoState::would_block) {
            throw RunError("cannot connect to " + where(options) + ": " + stream_.failure());
        }
        if (state == net::IoState::would_block &&
            !wait_ready(stream_.file(), stream_.events_to_read(), options.timeout_seconds)) {
            throw RunError("cannot connect to " + where(options) + ": no answer");
        }
    }
}

void Connection::authenticate(const LoadOptions& options) {
    const std::string request =
        "*2\r\n$4\r\nAUTH\r\n$" + std::to_string(options.token.size()) + "\r\n" + options.token + "\r\n";
    if (write_some(request) != request.size()) throw RunError("AUTH: the socket takes nothing");
    std::string reply;
    std::vector<char> scratch(4096);
    while (reply.find('\n') == std::string::npos) {
        if (!wait_ready(stream_.file(), POLLIN, options.timeout_seconds)) throw RunError("AUTH: no reply");
        reply += read_some(scratch);
    }
    if (!reply.starts_with('+')) throw RunError("AUTH: " + reply.substr(0, reply.find('\r')));
}

std::uint32_t Connection::send(RequestSource& source, std::uint64_t most) {
    flush();
    std::uint32_t sent = 0;
    bool more = true;
    while (more && !has_unsent() && sent < most && in_flight_ < sent_.size()) {
        std::uint32_t turn = 0;
        while (sent < most && in_flight_ < sent_.size() && out_.pending().size() < enough_unsent_bytes) {
            Request request;
            more = source.next(out_, request);
            if (!more) break;
            push(request);
            ++turn;
            ++sent;
        }
        stamp(turn, now_ns());
        flush();
    }
    return sent;
}

void Connection::push(const Request& request) {
    const std::size_t place = std::size_t{first_} + in_flight_;
    sent_[place < sent_.size() ? place : place - sent_.size()].request = request;
    ++in_flight_;
}

Connection::Sent Connection::pop() {
    const Sent oldest = sent_[first_];
    if (++first_ == sent_.size()) first_ = 0;
    --in_flight_;
    return oldest;
}

void Connection::stamp(std::uint32_t newest, std::uint64_t at_ns) {
    std::size_t place = std::size_t{first_} + in_flight_ - newest;
    for (; newest > 0; --newest, ++place)
        sent_[place < sent_.size() ? place : place - sent_.size()].sent_ns = at_ns;
}

void Connection::flush() {
    if (!has_unsent()) return;
    if (split_writes_) out_.consume(write_some(out_.pending().substr(0, out_.pending().size() / 2)));
    out_.consume(write_some(out_.pending()));
}

std::size_t Connection::write_some(std::string_view bytes) {
    std::size_t written = 0;
    // Over TLS a write gives a record at most.
    while (written < bytes.size()) {
        const net::IoResult result = stream_.write(bytes.substr(written));
        written += result.size;
        if (result.state == net::IoState::would_block) break;
        if (result.state != net::IoState::done) {
            throw RunError("connection lost while sending: " + stream_.failure());
        }
        if (!stream_.is_encrypted()) break;
    }
    return written;
}

std::string_view Connection::read_some(std::vector<char>& scratch) {
    const net::IoResult result = stream_.read(scratch);
    if (result.state == net::IoState::ended) throw RunError("the server closed the connection");
    if (result.state == net::IoState::failed) {
        throw RunError("connection lost while receiving: " + stream_.failure());
    }
    return {scratch.data(), result.size};
}

}  // namespace karma::perf
