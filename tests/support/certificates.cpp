#include "tests/support/certificates.h"

#include <atomic>
#include <cstdio>
#include <stdexcept>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace karma::test {
namespace {

void need(bool done, const char* what) {
    if (!done) throw std::runtime_error(std::string("cannot make a certificate: ") + what);
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    need(extension != nullptr, value.c_str());
    need(X509_add_ext(certificate, extension, -1) == 1, value.c_str());
    X509_EXTENSION_free(extension);
}

class PemFile {
public:
    explicit PemFile(const std::string& path) : file_(std::fopen(path.c_str(), "w")) {
        need(file_ != nullptr, path.c_str());
    }
    ~PemFile() { std::fclose(file_); }
    PemFile(const PemFile&) = delete;
    PemFile& operator=(const PemFile&) = delete;
    std::FILE* get() const { return file_; }

private:
    std::FILE* file_;
};

}  // namespace

void CertificateAuthority::KeyDeleter::operator()(evp_pkey_st* key) const noexcept { EVP_PKEY_free(key); }
void CertificateAuthority::CertificateDeleter::operator()(x509_st* certificate) const noexcept {
    X509_free(certificate);
}

CertificateAuthority::CertificateAuthority(std::filesystem::path directory, const std::string& name)
    : directory_(std::move(directory)),
      key_(make_key()),
      certificate_(make_certificate(name, key_.get(), 86'400)) {
    need(X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get())) == 1, "issuer");
    add_extension(certificate_.get(), certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate_.get(), certificate_.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    need(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) != 0, "signature");
    file_ = write_certificate(name, certificate_.get());
}

CertificateAuthority::~CertificateAuthority() = default;

CertificateAuthority::Key CertificateAuthority::make_key() {
    Key key(EVP_EC_gen("P-256"));
    need(key != nullptr, "key");
    return key;
}

CertificateAuthority::Certificate CertificateAuthority::make_certificate(const std::string& name,
                                                                         evp_pkey_st* key, long seconds) {
    static std::atomic<long> last_serial{0};
    Certificate certificate(X509_new());
    need(certificate != nullptr, "memory");
    X509* const made = certificate.get();
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), ++last_serial);
    X509_gmtime_adj(X509_getm_notBefore(made), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made), seconds - 3600);
    need(X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC,
                                    reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0) == 1,
         "name");
    need(X509_set_pubkey(made, key) == 1, "public key");
    return certificate;
}

CertificateAuthority::Files CertificateAuthority::issue(const std::string& name, const std::string& host,
                                                        long seconds) const {
    const Key key = make_key();
    const Certificate certificate = make_certificate(name, key.get(), seconds);
    need(X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get())) == 1, "issuer");
    add_extension(certificate.get(), certificate_.get(), NID_subject_alt_name,
                  host.empty() ? "DNS:localhost,IP:127.0.0.1,IP:::1" : "DNS:" + host);
    need(X509_sign(certificate.get(), key_.get(), EVP_sha256()) != 0, "signature");
    return {write_certificate(name, certificate.get()), write_key(name, key.get())};
}

std::string CertificateAuthority::write_certificate(const std::string& name, x509_st* certificate) const {
    std::string path = directory_ / (name + ".pem");
    const PemFile file(path);
    need(PEM_write_X509(file.get(), certificate) == 1, path.c_str());
    return path;
}

std::string CertificateAuthority::write_key(const std::string& name, evp_pkey_st* key) const {
    std::string path = directory_ / (name + ".key");
    const PemFile file(path);
    need(PEM_write_PrivateKey(file.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1, path.c_str());
    return path;
}

}  // namespace karma::test
