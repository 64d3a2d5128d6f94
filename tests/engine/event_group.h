#pragma once

#include <string>
#include <string_view>

#include <msgpack.hpp>

#include "engine/checksum.h"
#include "engine/msgpack_bytes.h"

namespace karma::test {

/// A group of events with this payload and the checksum of it.
inline std::string group_of(std::string_view payload) {
    std::string group;
    Appender appender{group};
    msgpack::packer<Appender> packer(appender);
    packer.pack_array(3);
    packer.pack(2);
    packer.pack(crc32_of(payload));
    packer.pack_bin(static_cast<std::uint32_t>(payload.size()));
    return group += payload;
}

}  // namespace karma::test
