#pragma once

#include <filesystem>
#include <memory>
#include <string>

struct evp_pkey_st;
struct x509_st;

namespace karma::test {

// An authority that signs certificates, all made here and now: PEM files in a directory.
class CertificateAuthority {
public:
    // Writes NAME.pem into the directory, which outlives this.
    CertificateAuthority(std::filesystem::path directory, const std::string& name);
    ~CertificateAuthority();
    CertificateAuthority(const CertificateAuthority&) = delete;
    CertificateAuthority& operator=(const CertificateAuthority&) = delete;

    std::string file() const { return file_; }

    struct Files {
        std::string certificate;
        std::string key;
    };
    // For localhost, 127.0.0.1 and ::1, or for `host` alone; good for so many seconds from an hour ago.
    Files issue(const std::string& name, const std::string& host = "", long seconds = 86'400) const;

private:
    struct KeyDeleter {
        void operator()(evp_pkey_st* key) const noexcept;
    };
    struct CertificateDeleter {
        void operator()(x509_st* certificate) const noexcept;
    };
    using Key = std::unique_ptr<evp_pkey_st, KeyDeleter>;
    using Certificate = std::unique_ptr<x509_st, CertificateDeleter>;

    static Key make_key();
    static Certificate make_certificate(const std::string& name, evp_pkey_st* key, long seconds);
    std::string write_certificate(const std::string& name, x509_st* certificate) const;
    std::string write_key(const std::string& name, evp_pkey_st* key) const;

    std::filesystem::path directory_;
    Key key_;
    Certificate certificate_;
    std::string file_;
};

}  // namespace karma::test
