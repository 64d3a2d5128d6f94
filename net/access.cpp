#include "net/access.h"

#include <utility>

namespace karma::net {

Access::Access(TokenSet tokens) : current_(nullptr) { replace(std::move(tokens)); }

Access::Access(const std::string& token, const std::string& read_token)
    : Access(TokenSet({{.name = "all", .token = token, .access = AccessLevel::admin},
                       {.name = "read", .token = read_token, .access = AccessLevel::read}})) {}

void Access::replace(TokenSet tokens) {
    auto replacing = std::make_unique<const TokenSet>(std::move(tokens));
    const std::lock_guard lock(mutex_);
    if (!all_.empty() && *all_.back() == *replacing) {
        return;
    }
    all_.push_back(std::move(replacing));
    current_.store(all_.back().get(), std::memory_order_release);
}

}  // namespace karma::net
