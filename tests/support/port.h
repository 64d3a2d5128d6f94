#pragma once

#include <cstdint>

#include "tests/support/file_descriptor.h"

namespace karma::test {

// A TCP port of 127.0.0.1 that the system hands to nobody else as long as this object lives: a bound socket
// that does not listen. A server that sets SO_REUSEADDR, as servers do, can listen on it beside that, again
// and again.
class ReservedPort {
public:
    ReservedPort();

    std::uint16_t number() const { return number_; }

    // Whether a server could listen on it now; false while one does.
    bool free() const;

private:
    FileDescriptor socket_;
    std::uint16_t number_ = 0;
};

// A port that was free a moment ago. Prefer ReservedPort: another process may take this one any time.
std::uint16_t free_port();

}  // namespace karma::test
