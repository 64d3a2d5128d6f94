#pragma once

#include <cstddef>
#include <string>

#include <msgpack.hpp>

namespace karma {

/// What msgpack::packer writes to.
struct Appender {
    std::string& out;
    void write(const char* data, std::size_t size) { out.append(data, size); }
};

/// For msgpack::unpack: strings and binaries stay where they are instead of being copied.
inline bool borrow_bytes(msgpack::type::object_type, std::size_t, void*) { return true; }

}  // namespace karma
