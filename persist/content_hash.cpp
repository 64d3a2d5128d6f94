#include "persist/content_hash.h"

#include <stdexcept>

#include <openssl/evp.h>

#include "engine/fingerprint.h"

namespace karma {

namespace {

void require_hashing(int result) {
    if (result != 1) throw std::runtime_error("SHA-256 cannot be computed");
}

}  // namespace

void ContentHash::Free::operator()(evp_md_ctx_st* context) const noexcept { ::EVP_MD_CTX_free(context); }

ContentHash::ContentHash() : context_(::EVP_MD_CTX_new()) {
    require_hashing(context_ != nullptr ? 1 : 0);
    begin();
}

ContentHash::~ContentHash() = default;

void ContentHash::begin() { require_hashing(::EVP_DigestInit_ex(context_.get(), ::EVP_sha256(), nullptr)); }

void ContentHash::add(std::span<const char> bytes) {
    require_hashing(::EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()));
}

std::string ContentHash::take() {
    Fingerprint result;
    require_hashing(::EVP_DigestFinal_ex(context_.get(), result.bytes.data(), nullptr));
    begin();
    return result.hex();
}

}  // namespace karma
