#include "tests/support/port.h"

#include <cerrno>
#include <netinet/in.h>
#include <sys/socket.h>
#include <system_error>

namespace karma::test {

namespace {

// sockaddr is what the system calls take for any kind of address.
sockaddr* generic(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

FileDescriptor reusable_socket() {
    FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (!socket.valid() || ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
        throw std::system_error(errno, std::generic_category(), "cannot make a socket");
    }
    return socket;
}

}  // namespace

ReservedPort::ReservedPort() : socket_(reusable_socket()) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(socket_.get(), generic(address), size) != 0 ||
        ::getsockname(socket_.get(), generic(address), &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "cannot reserve a port");
    }
    number_ = ntohs(address.sin_port);
}

bool ReservedPort::free() const {
    const FileDescriptor probe = reusable_socket();
    sockaddr_in address = loopback(number_);
    return ::bind(probe.get(), generic(address), sizeof address) == 0 && ::listen(probe.get(), 1) == 0;
}

std::uint16_t free_port() { return ReservedPort().number(); }

}  // namespace karma::test
