#include "persist/log_file_check.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace karma {
namespace {

// A file is blocks of 32 KiB; a record is a checksum, the length of its payload, a type and the payload, and
// lies in one block. What is longer is several records: the first one, middle ones and the last one.
constexpr std::size_t block_bytes = 32'768;
constexpr std::size_t header_bytes = 7;
constexpr std::uint8_t whole_type = 1;
constexpr std::uint8_t first_type = 2;
constexpr std::uint8_t last_type = 4;

constexpr std::array<std::uint32_t, 256> make_crc32c_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
        }
        table[byte] = crc;
    }
    return table;
}

/// As RocksDB stores it: a checksum of bytes that hold checksums is not a good one.
std::uint32_t masked_crc32c(std::uint8_t type, std::string_view payload) {
    static constexpr std::array<std::uint32_t, 256> table = make_crc32c_table();
    std::uint32_t crc = 0xFFFFFFFFU;
    const auto add = [&](std::uint8_t byte) { crc = table[(crc ^ byte) & 0xFFU] ^ (crc >> 8U); };
    add(type);
    for (const char c : payload) {
        add(static_cast<std::uint8_t>(c));
    }
    crc ^= 0xFFFFFFFFU;
    return ((crc >> 15U) | (crc << 17U)) + 0xA282EAD8U;
}

std::uint32_t little_endian(std::string_view bytes) {
    std::uint32_t number = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
        number = (number << 8U) | static_cast<std::uint8_t>(bytes[i]);
    }
    return number;
}

/// The header at a place of a file, and the room for a payload behind it.
struct Header {
    Header(std::string_view file, std::size_t at)
        : checksum(little_endian(file.substr(at, 4))),
          length(little_endian(file.substr(at + 4, 2))),
          type(static_cast<std::uint8_t>(file[at + 6])),
          room(file.substr(at + header_bytes,
                           std::min(file.size() - at, block_bytes - at % block_bytes) - header_bytes)) {}

    bool fits() const { return length <= room.size(); }
    bool is_known() const { return type >= whole_type && type <= last_type; }
    /// Whether it is sound with another type and length than it says.
    bool is_sound_as(std::uint8_t as_type, std::size_t as_length) const {
        return as_length <= room.size() && masked_crc32c(as_type, room.substr(0, as_length)) == checksum;
    }

    std::uint32_t checksum;
    std::size_t length;
    std::uint8_t type;
    std::string_view room;
};

bool has_header(std::string_view file, std::size_t at) {
    return at + header_bytes <= file.size() && block_bytes - at % block_bytes >= header_bytes;
}

/// Where the records end that follow each other without a gap. Their checksums are RocksDB's business; only
/// of a type that is not known here, but perhaps to a newer version, it is looked at.
std::size_t end_of_records(std::string_view file) {
    std::size_t at = 0;
    while (at < file.size()) {
        if (block_bytes - at % block_bytes < header_bytes) {
            at += block_bytes - at % block_bytes;
            continue;
        }
        if (!has_header(file, at)) {
            break;
        }
        const Header header(file, at);
        constexpr std::size_t log_number_bytes = 4;  // in longer headers
        if (!header.fits() || (!header.is_known() && !header.is_sound_as(header.type, header.length) &&
                               !header.is_sound_as(header.type, header.length + log_number_bytes))) {
            break;
        }
        at += header_bytes + header.length;
        if (!header.is_known() && !header.is_sound_as(header.type, header.length)) {
            at += log_number_bytes;
        }
    }
    return std::min(at, file.size());
}

}  // namespace

std::string damaged_record(std::string_view log_file) {
    std::size_t damaged = log_file.size();
    for (std::size_t at = 0; at < log_file.size();) {
        if (block_bytes - at % block_bytes < header_bytes) {
            at += block_bytes - at % block_bytes;
            continue;
        }
        if (!has_header(log_file, at)) {
            break;
        }
        const Header header(log_file, at);
        if (header.is_known() && header.is_sound_as(header.type, header.length)) {
            if (damaged != log_file.size()) {
                return "damaged at byte " + std::to_string(damaged) + " of " +
                       std::to_string(log_file.size()) +
                       ", where a record does not match its checksum, and sound records follow";
            }
            at += header_bytes + header.length;
            continue;
        }
        if (header.type == 0 && header.length == 0 && header.checksum == 0) {
            break;  // a tail of zeros
        }
        damaged = std::min(damaged, at);
        // RocksDB goes on behind the record, or with the next block where that is not possible.
        at = header.is_known() && header.fits() ? at + header_bytes + header.length
                                                : at + block_bytes - at % block_bytes;
    }
    return {};
}

std::string readable_past_damage(std::string log_file) {
    // Of log files that are used again, with the number of the log in a longer header; RocksDB takes any
    // other number for a record of an earlier use.
    constexpr std::uint8_t first_reused_type = 5;
    constexpr std::uint8_t last_reused_type = 8;
    constexpr char no_type = '\x7F';
    for (std::size_t at = 0; at < log_file.size();) {
        const std::size_t left = block_bytes - at % block_bytes;
        if (left < header_bytes) {
            at += left;
            continue;
        }
        if (!has_header(log_file, at)) {
            break;
        }
        const Header header(log_file, at);
        if (header.type >= first_reused_type && header.type <= last_reused_type) {
            log_file[at + header_bytes - 1] = no_type;
        }
        at += header.fits() ? header_bytes + header.length : left;
    }
    return log_file;
}

std::string hidden_damage(std::string_view log_file) {
    const std::size_t end = end_of_records(log_file);
    const std::string_view rest = log_file.substr(end);
    if (rest.find_first_not_of('\0') == std::string_view::npos || !has_header(log_file, end)) {
        return {};
    }
    const std::string place =
        "damaged at byte " + std::to_string(end) + " of " + std::to_string(log_file.size());
    const Header broken(log_file, end);
    for (std::uint8_t type = whole_type; type <= last_type; ++type) {
        if (broken.is_sound_as(type, broken.room.size()) || broken.is_sound_as(type, broken.length)) {
            return place + ", in the header of a record that is whole";
        }
    }
    // A crash takes the end of a file: after what it has torn nothing that is sound begins.
    for (std::size_t at = end + 1; at < log_file.size(); ++at) {
        if (!has_header(log_file, at)) {
            continue;
        }
        const Header header(log_file, at);
        if ((header.type == whole_type || header.type == first_type) && header.length != 0 &&
            header.is_sound_as(header.type, header.length)) {
            return place + ", and sound records follow at byte " + std::to_string(at);
        }
    }
    return {};
}

}  // namespace karma
