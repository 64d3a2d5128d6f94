#include "net/token_set.h"

#include <algorithm>

#include <openssl/crypto.h>

namespace karma::net {
namespace {

bool is_same(const std::string& expected, std::string_view given) noexcept {
    return expected.size() == given.size() &&
           CRYPTO_memcmp(expected.data(), given.data(), expected.size()) == 0;
}

/// Where the character that begins at `at` ends.
std::size_t end_of_character(std::string_view text, std::size_t at) noexcept {
    const auto continues = [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U; };
    do {
        ++at;
    } while (at < text.size() && continues(text[at]));
    return at;
}

}  // namespace

bool glob_matches(std::string_view glob, std::string_view text) noexcept {
    std::size_t at = 0;    // in the text
    std::size_t next = 0;  // in the pattern
    // The last `*`, and where in the text what is behind it was last tried: no earlier one need be tried
    // again.
    std::size_t star = std::string_view::npos;
    std::size_t tried = 0;
    while (at < text.size()) {
        if (next < glob.size() && glob[next] == '*') {
            star = next++;
            tried = at;
        } else if (next < glob.size() && glob[next] == '?') {
            ++next;
            at = end_of_character(text, at);
        } else if (next < glob.size() && glob[next] == text[at]) {
            ++next;
            ++at;
        } else if (star != std::string_view::npos) {
            next = star + 1;
            tried = end_of_character(text, tried);
            at = tried;
        } else {
            return false;
        }
    }
    return glob.find_first_not_of('*', next) == std::string_view::npos;
}

bool SeriesGlobs::match(std::string_view series) const noexcept {
    return series.size() <= name_bytes_max &&
           std::ranges::any_of(globs_, [&](const std::string& glob) { return glob_matches(glob, series); });
}

TokenSet::TokenSet(std::vector<NamedToken> tokens) : tokens_(std::move(tokens)) {
    std::erase_if(tokens_, [](const NamedToken& token) { return token.token.empty(); });
}

Grant TokenSet::find(std::string_view token) const noexcept {
    if (is_open()) {
        return {AccessLevel::admin, nullptr};
    }
    Grant found;
    for (const NamedToken& known : tokens_) {
        if (is_same(known.token, token) && known.access > found.level) {
            found = {known.access, known.series.empty() ? nullptr : &known.series};
        }
    }
    return found;
}

}  // namespace karma::net
