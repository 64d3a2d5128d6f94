#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace karma::net {

/// Who may do what: a token that allows everything and one for the ops that only read. Thread-safe.
class Access {
public:
    enum class Level : std::uint8_t { none, read, all };

    /// An empty token is none. Without tokens everyone may do everything.
    Access(std::string token, std::string read_token);
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;

    bool is_open() const noexcept { return current().is_open(); }

    /// What a request that carries this token may do. Takes the same time whatever the token is.
    Level level(std::string_view token) const noexcept;

    /// From here on these tokens count, for requests on open connections too.
    void replace(std::string token, std::string read_token);

private:
    struct Tokens {
        std::string all;
        std::string read;

        bool is_open() const noexcept { return all.empty() && read.empty(); }
        bool operator==(const Tokens&) const = default;
    };

    const Tokens& current() const noexcept { return *current_.load(std::memory_order_acquire); }

    std::mutex mutex_;
    /// With those of before, which a request may just be compared with: they are replaced by hand, rarely.
    std::vector<std::unique_ptr<const Tokens>> all_;
    std::atomic<const Tokens*> current_;
};

}  // namespace karma::net
