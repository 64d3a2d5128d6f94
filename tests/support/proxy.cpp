#include "tests/support/proxy.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <poll.h>
#include <sys/socket.h>

#include "tests/support/loopback.h"

namespace karma::test {

namespace {

constexpr int poll_ms = 5;

// Moves what there is from one socket to the other; false at the end.
bool move_bytes(const FileDescriptor& from, const FileDescriptor& to) {
    std::array<char, 65536> bytes{};
    const ssize_t got = ::recv(from.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    return got != 0 && send_all(to, {bytes.data(), static_cast<std::size_t>(got)});
}

}  // namespace

Proxy::Proxy(std::uint16_t target)
    : target_(target), listener_(needed(listen_on(port_.number()), "cannot listen")) {
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
        FileDescriptor client = accept_from(listener_);
        if (!client.valid() || refuses_) continue;
        FileDescriptor target = connect_to(target_);
        if (!target.valid()) continue;
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
        if ((files[0].revents & POLLIN) != 0) goes_on = move_bytes(link.client, link.target);
        if ((files[1].revents & POLLIN) != 0 && goes_on) goes_on = move_bytes(link.target, link.client);
        const bool broken = ((files[0].revents | files[1].revents) & (POLLERR | POLLHUP)) != 0 &&
                            ((files[0].revents | files[1].revents) & POLLIN) == 0;
        if (!goes_on || broken) break;
    }
    ::shutdown(link.client.get(), SHUT_RDWR);
    ::shutdown(link.target.get(), SHUT_RDWR);
}

}  // namespace karma::test
