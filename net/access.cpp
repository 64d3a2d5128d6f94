#include "net/access.h"

#include <utility>

#include <openssl/crypto.h>

namespace karma::net {
namespace {

bool matches(const std::string& expected, std::string_view given) noexcept {
    return !expected.empty() && expected.size() == given.size() &&
           CRYPTO_memcmp(expected.data(), given.data(), expected.size()) == 0;
}

}  // namespace

Access::Access(std::string token, std::string read_token)
    : token_(std::move(token)), read_token_(std::move(read_token)) {}

Access::Level Access::level(std::string_view token) const noexcept {
    if (is_open()) {
        return Level::all;
    }
    const bool all = matches(token_, token);
    const bool read = matches(read_token_, token);
    if (all) {
        return Level::all;
    }
    return read ? Level::read : Level::none;
}

}  // namespace karma::net
