#include "net/base64.h"

#include <openssl/evp.h>

namespace karma::net {

void append_base64(std::string_view bytes, std::string& out) {
    const std::size_t begin = out.size();
    out.resize(begin + base64_size(bytes.size()) + 1);  // and the zero that it writes behind
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data() + begin),
                    reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    out.pop_back();
}

std::optional<std::string> decode_base64(std::string_view text) {
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    const std::size_t end = text.size() - padding;
    // The library takes padding and white space anywhere.
    if (text.size() % 4 != 0 || text.substr(0, end).find_first_of("= \t\r\n") != std::string_view::npos) {
        return std::nullopt;
    }
    std::string bytes(text.size() / 4 * 3, '\0');
    const int count =
        EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                        reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
    if (count < 0 || static_cast<std::size_t>(count) != bytes.size()) {
        return std::nullopt;
    }
    bytes.resize(bytes.size() - padding);
    return bytes;
}

}  // namespace karma::net
