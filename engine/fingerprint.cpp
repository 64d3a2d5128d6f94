#include "engine/fingerprint.h"

namespace karma {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

}  // namespace

std::string Fingerprint::hex() const {
    std::string text;
    text.reserve(2 * bytes.size());
    for (const unsigned char byte : bytes) {
        text.push_back(hex_digits[byte >> 4U]);
        text.push_back(hex_digits[byte & 0xFU]);
    }
    return text;
}

std::optional<Fingerprint> Fingerprint::from_hex(std::string_view text) noexcept {
    Fingerprint fingerprint;
    if (text.size() != 2 * fingerprint.bytes.size()) {
        return std::nullopt;
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        const std::size_t digit = hex_digits.find(text[i]);
        if (digit == std::string_view::npos) {
            return std::nullopt;
        }
        unsigned char& byte = fingerprint.bytes[i / 2];
        byte = static_cast<unsigned char>((byte << 4U) | digit);
    }
    return fingerprint;
}

std::string_view operation_name(Operation operation) noexcept {
    switch (operation) {
        case Operation::increment: return "increment";
        case Operation::decrement: return "decrement";
        case Operation::batch_add: return "batch_add";
        case Operation::batch_set: return "batch_set";
        case Operation::reset: return "reset";
        case Operation::batch_reset: return "batch_reset";
        case Operation::remove: return "delete";
        case Operation::batch_delete_range: return "batch_delete_range";
        case Operation::ingest_begin: return "ingest_begin";
        case Operation::ingest_chunk: return "ingest_chunk";
        case Operation::multi_add: return "multi_add";
    }
    return {};
}

}  // namespace karma
