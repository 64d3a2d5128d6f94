#include "engine/checksum.h"

#include <zlib.h>

namespace karma {

std::uint32_t crc32_of(std::string_view bytes, std::uint32_t before) noexcept {
    return static_cast<std::uint32_t>(
        crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace karma
