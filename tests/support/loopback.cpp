#include "tests/support/loopback.h"

#include <cerrno>
#include <netinet/in.h>
#include <sys/socket.h>
#include <system_error>
#include <utility>

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

FileDescriptor tcp_socket() { return FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

// The socket if the call for it went well.
FileDescriptor only_if(bool good, FileDescriptor socket) {
    if (good) return socket;
    const int why = errno;
    socket.reset();
    errno = why;
    return FileDescriptor();
}

}  // namespace

FileDescriptor bind_to(std::uint16_t port) {
    FileDescriptor socket = tcp_socket();
    sockaddr_in address = loopback(port);
    const int on = 1;
    const bool good = ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                      ::bind(socket.get(), generic(address), sizeof address) == 0;
    return only_if(good, std::move(socket));
}

FileDescriptor listen_on(std::uint16_t port) {
    FileDescriptor socket = bind_to(port);
    constexpr int waiting_connections = 16;
    const bool good = socket.valid() && ::listen(socket.get(), waiting_connections) == 0;
    return only_if(good, std::move(socket));
}

FileDescriptor connect_to(std::uint16_t port) {
    FileDescriptor socket = tcp_socket();
    sockaddr_in address = loopback(port);
    const bool good = ::connect(socket.get(), generic(address), sizeof address) == 0;
    return only_if(good, std::move(socket));
}

FileDescriptor accept_from(const FileDescriptor& listener) {
    return FileDescriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

FileDescriptor needed(FileDescriptor descriptor, const char* what) {
    if (!descriptor.valid()) throw std::system_error(errno, std::generic_category(), what);
    return descriptor;
}

std::uint16_t port_of(const FileDescriptor& socket) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getsockname(socket.get(), generic(address), &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "a socket has no port");
    }
    return ntohs(address.sin_port);
}

bool send_all(const FileDescriptor& socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

}  // namespace karma::test
