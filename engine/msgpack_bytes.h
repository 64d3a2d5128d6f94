#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <msgpack.hpp>

namespace karma {

/// The buffer to which msgpack::packer writes.
struct Appender {
    std::string& out;
    void write(const char* data, std::size_t size) { out.append(data, size); }
};

/// For msgpack::unpack: strings and binaries stay where they are instead of being copied.
inline bool borrow_bytes(msgpack::type::object_type, std::size_t, void*) { return true; }

/// Reads the MessagePack value at `at`, which moves behind it. Allocates memory for the bytes that exist, not
/// for what damaged bytes announce: each element of an array has a byte at least, and no stored value nests
/// deeper.
/// Throws msgpack::unpack_error.
inline msgpack::object_handle unpack_stored(std::string_view bytes, std::size_t& at,
                                            msgpack::unpack_reference_func borrow = nullptr) {
    constexpr std::size_t depth_max = 8;
    const std::size_t size = bytes.size();
    const msgpack::unpack_limit limit(size, size, size, size, size, depth_max);
    return msgpack::unpack(bytes.data(), size, at, borrow, nullptr, limit);
}
inline msgpack::object_handle unpack_stored(std::string_view bytes) {
    std::size_t at = 0;
    return unpack_stored(bytes, at);
}

}  // namespace karma
