#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace karma::net {

/// What a client may do; each level includes those before it.
enum class AccessLevel : std::uint8_t {
    none,
    read,   // ops that change nothing
    write,  // all but those of an administrator
    admin,
};

/// Whether a text matches a pattern: `*` stands for any characters, `?` for one character of UTF-8.
bool glob_matches(std::string_view glob, std::string_view text) noexcept;

/// Patterns for the series that a token may access.
class SeriesGlobs {
public:
    /// A longer name matches no pattern, because the time of a comparison grows with both lengths.
    static constexpr std::size_t name_bytes_max = 4'096;

    SeriesGlobs() = default;
    explicit SeriesGlobs(std::vector<std::string> globs) : globs_(std::move(globs)) {}

    bool empty() const noexcept { return globs_.empty(); }
    bool match(std::string_view series) const noexcept;
    bool operator==(const SeriesGlobs&) const = default;

private:
    std::vector<std::string> globs_;
};

struct NamedToken {
    std::string name;  // for people
    std::string token;
    AccessLevel access = AccessLevel::none;
    SeriesGlobs series = {};  // empty: all
    bool operator==(const NamedToken&) const = default;
};

/// What a token allows.
struct Grant {
    AccessLevel level = AccessLevel::none;
    const SeriesGlobs* series = nullptr;  // only these; null: all
};

/// A set of tokens. Immutable, hence usable from any thread.
class TokenSet {
public:
    TokenSet() = default;
    /// Entries with an empty token are ignored.
    explicit TokenSet(std::vector<NamedToken> tokens);

    /// Without tokens everyone may do everything.
    bool is_open() const noexcept { return tokens_.empty(); }

    /// Compares with all tokens, each in constant time, so that the duration reveals nothing but their
    /// lengths. Of several equal tokens the one that allows most counts. The series of the result live as
    /// long as this set.
    Grant find(std::string_view token) const noexcept;

    bool operator==(const TokenSet&) const = default;

private:
    std::vector<NamedToken> tokens_;
};

}  // namespace karma::net
