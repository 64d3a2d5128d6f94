#include "tests/support/proxy.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <system_error>

namespace karma::test {

namespace {

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

// sockaddr is what the system calls take for any kind of address.
sockaddr* generic(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

constexpr int poll_ms = 5;

// Moves what there is from one socket to the other; false at the end.
bool move_bytes(int from, int to) {
    std::array<char, 65536> bytes{};
    const ssize_t got = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    ssize_t sent = 0;
    while (sent < got) {
        const ssize_t more =
            ::send(to, bytes.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
        if (more <= 0) return false;
        sent += more;
    }
    return got != 0;
}

}  // namespace

Proxy::Proxy(std::uint16_t target)
    : target_(target), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    sockaddr_in address = loopback(port_.number());
    if (!listener_.valid() || ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::bind(listener_.get(), generic(address), sizeof address) != 0 ||
        ::listen(listener_.get(), 16) != 0) {
        throw std::system_error(errno, std::generic_category(), "cannot listen");
    }
    thread_ = std::thread([this] { accept(); });
}

Proxy::~Proxy() {
    stopping_ = true;
    thread_.join();
    end_links();
}

void Proxy::hold(bool to_target, bool to_client) {
    holds_to_target_ = to_target;
    holds_to_client_ = to_client;
}

void Proxy::cut(bool refused) {
    refuses_ = refused;
    end_links();
}

void Proxy::end_links() {
    const std::lock_guard lock(mutex_);
    for (Link& link : links_) {
        link.ended = true;
        link.thread.join();
    }
    links_.clear();
}

void Proxy::accept() {
    while (!stopping_) {
        pollfd file{listener_.get(), POLLIN, 0};
        if (::poll(&file, 1, poll_ms) <= 0) continue;
        FileDescriptor client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client.valid() || refuses_) continue;
        FileDescriptor target(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address = loopback(target_);
        if (::connect(target.get(), generic(address), sizeof address) != 0) continue;
        const std::lock_guard lock(mutex_);
        Link& link = links_.emplace_back();
        link.client = std::move(client);
        link.target = std::move(target);
        link.thread = std::thread([this, &link] { forward(link); });
    }
}

void Proxy::forward(Link& link) {
    while (!link.ended && !stopping_) {
        std::array<pollfd, 2> files{};
        files[0] = {link.client.get(), static_cast<short>(holds_to_target_ ? 0 : POLLIN), 0};
        files[1] = {link.target.get(), static_cast<short>(holds_to_client_ ? 0 : POLLIN), 0};
        if (::poll(files.data(), files.size(), poll_ms) <= 0) continue;
        bool goes_on = true;
        if ((files[0].revents & POLLIN) != 0) goes_on = move_bytes(link.client.get(), link.target.get());
        if ((files[1].revents & POLLIN) != 0 && goes_on)
            goes_on = move_bytes(link.target.get(), link.client.get());
        const bool broken = ((files[0].revents | files[1].revents) & (POLLERR | POLLHUP)) != 0 &&
                            ((files[0].revents | files[1].revents) & POLLIN) == 0;
        if (!goes_on || broken) break;
    }
    ::shutdown(link.client.get(), SHUT_RDWR);
    ::shutdown(link.target.get(), SHUT_RDWR);
}

}  // namespace karma::test
