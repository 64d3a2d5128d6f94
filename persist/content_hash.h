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

    /// The hash of all bytes that were added, 64 hexadecimal digits in lower case. Bytes added afterwards
    /// belong to a new hash.
    std::string take();

private:
    struct Free {
        void operator()(evp_md_ctx_st* context) const noexcept;
    };
    void begin();

    std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace karma
