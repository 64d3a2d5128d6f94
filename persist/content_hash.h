#pragma once

#include <memory>
#include <span>
#include <string>

struct evp_md_ctx_st;

namespace karma {

/// The SHA-256 of bytes that come in parts. Used by one thread.
class ContentHash {
public:
    ContentHash();
    ~ContentHash();
    ContentHash(const ContentHash&) = delete;
    ContentHash& operator=(const ContentHash&) = delete;

    void add(std::span<const char> bytes);

    /// Of all that was added, 64 hexadecimal digits, lower case; what follows begins a new one.
    std::string take();

private:
    struct Free {
        void operator()(evp_md_ctx_st* context) const noexcept;
    };
    void begin();

    std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace karma
