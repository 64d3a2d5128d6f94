#include "tests/support/port.h"

#include "tests/support/loopback.h"

namespace karma::test {

ReservedPort::ReservedPort()
    : socket_(needed(bind_to(0), "cannot reserve a port")), number_(port_of(socket_)) {}

bool ReservedPort::free() const { return listen_on(number_).valid(); }

std::uint16_t free_port() { return ReservedPort().number(); }

}  // namespace karma::test
