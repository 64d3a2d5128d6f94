#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "net/token_set.h"

namespace karma::net {

/// Who may do what, by the tokens that count now. Thread-safe.
class Access {
public:
    using Level = AccessLevel;

    explicit Access(TokenSet tokens);
    /// A token that allows everything and one for the ops that only read; an empty one is none.
    Access(const std::string& token, const std::string& read_token);
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

    bool is_open() const noexcept { return current().is_open(); }

    /// What a request that carries this token may do. The series live as long as this.
    Grant grant(std::string_view token) const noexcept { return current().find(token); }
    Level level(std::string_view token) const noexcept { return grant(token).level; }

    /// From here on these tokens count, for requests on open connections too.
    void replace(TokenSet tokens);

private:
    const TokenSet& current() const noexcept { return *current_.load(std::memory_order_acquire); }

    std::mutex mutex_;
    /// With those of before, which a request may just be compared with: they are replaced by hand, rarely.
    std::vector<std::unique_ptr<const TokenSet>> all_;
    std::atomic<const TokenSet*> current_;
};

}  // namespace karma::net
