#include "cli/token.h"

#include <cstring>
#include <string_view>

#include "cli/command_line.h"
#include "cli/small_file.h"

namespace karma::cli {

namespace {

std::string without_newline(std::string text) {
    while (text.ends_with('\n') || text.ends_with('\r')) {
        text.pop_back();
    }
    return text;
}

void warn_of_space(const std::string& token, const std::string& source, std::vector<std::string>& warnings) {
    constexpr std::string_view space = " \t\n\r\v\f";
    if (space.find(token.front()) != std::string_view::npos ||
        space.find(token.back()) != std::string_view::npos) {
        warnings.push_back(source +
                           " begins or ends with white space, which is taken for a part of the token");
    }
}

/// Whether `--name` is an option whose value is a token.
bool is_token_option(std::string_view name) noexcept {
    return name == "--token" || (name.starts_with("--") && name.ends_with("-token"));
}

void overwrite(char* text) noexcept { std::memset(text, '*', std::strlen(text)); }

}  // namespace

std::string token_of_text(const std::string& text, const std::string& source,
                          std::vector<std::string>& warnings) {
    std::string token = without_newline(text);
    if (token.empty()) {
        throw UsageError(source + " holds nothing but a newline");
    }
    if (token.size() != text.size()) {
        warnings.push_back(source + " ended with a newline, which was cut");
    }
    warn_of_space(token, source, warnings);
    return token;
}

std::string token_of_file(const std::string& path, const std::string& source,
                          std::vector<std::string>& warnings) {
    constexpr std::size_t bytes_max = 65'536;
    const std::string what = source + ": " + path;
    std::string token = without_newline(read_small_file(path, bytes_max, what));
    if (token.empty()) {
        throw UsageError(what + " holds no token");
    }
    if (token.find('\n') != std::string::npos) {
        throw UsageError(what + " has more than one line");
    }
    warn_of_space(token, what, warnings);
    if (is_readable_by_others(path)) {
        warnings.push_back(source + ": others on this machine may read " + path + ": chmod o-rwx");
    }
    return token;
}

void hide_tokens(int argc, char** argv) noexcept {
    bool is_value = false;
    for (int i = 1; i < argc; ++i) {
        char* const argument = argv[i];
        if (is_value) {
            overwrite(argument);
            is_value = false;
            continue;
        }
        if (std::strcmp(argument, "--") == 0) {
            return;
        }
        if (char* const equals = std::strchr(argument, '=')) {
            if (is_token_option(std::string_view(argument, static_cast<std::size_t>(equals - argument)))) {
                overwrite(equals + 1);
            }
            continue;
        }
        is_value = is_token_option(argument);
    }
}

}  // namespace karma::cli
