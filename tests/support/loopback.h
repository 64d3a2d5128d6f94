#pragma once

#include <cstdint>
#include <string_view>

#include "tests/support/file_descriptor.h"

// TCP sockets of 127.0.0.1.
namespace karma::test {

// These give an invalid descriptor when it cannot be had; errno says why.

// A socket that has the port (0: one that nobody has) and does not listen yet. Others may listen on it beside
// this one.
FileDescriptor bind_to(std::uint16_t port);
// One that listens.
FileDescriptor listen_on(std::uint16_t port);
FileDescriptor connect_to(std::uint16_t port);
// The next connection of one that listens.
FileDescriptor accept_from(const FileDescriptor& listener);

// `descriptor`, which has to be valid: throws std::system_error with errno otherwise.
FileDescriptor needed(FileDescriptor descriptor, const char* what);

// The port of a socket that has one. Throws std::system_error.
std::uint16_t port_of(const FileDescriptor& socket);

// Waits until all bytes are sent; false when the connection has failed.
bool send_all(const FileDescriptor& socket, std::string_view bytes);

}  // namespace karma::test
