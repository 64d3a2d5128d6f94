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

}  // namespace karma::net
