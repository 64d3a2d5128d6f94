#include "net/server_options.h"

namespace karma::net {

TokenSet ServerOptions::token_set() const {
    std::vector<NamedToken> all = tokens;
    all.push_back({.name = "auth-token", .token = auth_token, .access = AccessLevel::admin});
    all.push_back({.name = "read-auth-token", .token = read_auth_token, .access = AccessLevel::read});
    return TokenSet(std::move(all));
}

}  // namespace karma::net
