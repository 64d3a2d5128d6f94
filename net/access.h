#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace karma::net {

/// Who may do what: a token that allows everything and one for the ops that only read.
class Access {
public:
    enum class Level : std::uint8_t { none, read, all };

    /// An empty token is none. Without tokens everyone may do everything.
    Access(std::string token, std::string read_token);

    bool is_open() const noexcept { return token_.empty() && read_token_.empty(); }

    /// What a request that carries this token may do. Takes the same time whatever the token is.
    Level level(std::string_view token) const noexcept;

private:
    std::string token_;
    std::string read_token_;
};

}  // namespace karma::net
