#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "net/token_set.h"

namespace karma::net {

/// The access that each token gives now. Thread-safe.
class Access {
public:
    using Level = AccessLevel;

    explicit Access(TokenSet tokens);
    /// A token that allows everything and one for the ops that only read; an empty one is none.
    Access(const std::string& token, const std::string& read_token);
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

    bool is_open() const noexcept { return current().is_open(); }

    /// The access of a request with this token. The series of the result live as long as this object.
    Grant grant(std::string_view token) const noexcept { return current().find(token); }
    Level level(std::string_view token) const noexcept { return grant(token).level; }

    /// Replaces the tokens, for requests on open connections, too.
    void replace(TokenSet tokens);

private:
    const TokenSet& current() const noexcept { return *current_.load(std::memory_order_acquire); }

    std::mutex mutex_;
    /// Earlier sets are kept, because a request may just be using one: an operator replaces them, rarely.
    std::vector<std::unique_ptr<const TokenSet>> all_;
    std::atomic<const TokenSet*> current_;
};

}  // namespace karma::net
