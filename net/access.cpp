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

Access::Access(std::string token, std::string read_token) : current_(nullptr) {
    replace(std::move(token), std::move(read_token));
}

void Access::replace(std::string token, std::string read_token) {
    auto tokens = std::make_unique<const Tokens>(Tokens{std::move(token), std::move(read_token)});
    const std::lock_guard lock(mutex_);
    if (!all_.empty() && *all_.back() == *tokens) {
        return;
    }
    all_.push_back(std::move(tokens));
    current_.store(all_.back().get(), std::memory_order_release);
}

Access::Level Access::level(std::string_view token) const noexcept {
    const Tokens& tokens = current();
    if (tokens.is_open()) {
        return Level::all;
    }
    const bool all = matches(tokens.all, token);
    const bool read = matches(tokens.read, token);
    if (all) {
        return Level::all;
    }
    return read ? Level::read : Level::none;
}

}  // namespace karma::net
