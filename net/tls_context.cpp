#include "net/tls_context.h"

#include <new>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>
#include <openssl/x509v3.h>

namespace karma::net {
namespace {

[[noreturn]] void refuse_file(const std::string& file, const std::string& what) {
    const unsigned long code = ERR_peek_last_error();
    const char* const reason = ERR_reason_error_string(code);
    std::string text = file + " " + what;
    if (code != 0 && reason != nullptr) {
        text += std::string(": ") + reason;
    }
    ERR_clear_error();
    throw TlsError(text);
}

/// A passphrase would be asked for on the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writes*/, void* /*data*/) { return 0; }

}  // namespace

void TlsContext::Deleter::operator()(ssl_ctx_st* context) const noexcept { SSL_CTX_free(context); }

TlsContext::TlsContext(Handle handle) noexcept : handle_(std::move(handle)) {}

TlsContext::Handle TlsContext::new_handle() {
    ERR_clear_error();
    Handle handle(SSL_CTX_new(TLS_method()));
    if (!handle) {
        throw std::bad_alloc();
    }
    SSL_CTX* const context = handle.get();
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    // Tickets are sent unasked: a client that writes and closes would answer them with a reset.
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    // What could not be written is written again from where it lies then; buffers of idle connections are
    // given back.
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_default_passwd_cb(context, &no_passphrase);
    return handle;
}

void TlsContext::load_certificate(ssl_ctx_st* context, const TlsFiles& files) {
    if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
        refuse_file(files.certificate, "holds no certificate that can be used");
    }
    if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
        const bool is_other = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
        refuse_file(files.key, is_other ? "is not the key of " + files.certificate
                                        : std::string("holds no private key that can be used"));
    }
}

std::shared_ptr<const TlsContext> TlsContext::for_server(const TlsFiles& files) {
    Handle handle = new_handle();
    load_certificate(handle.get(), files);
    if (!files.authorities.empty()) {
        STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(files.authorities.c_str());
        if (names == nullptr ||
            SSL_CTX_load_verify_locations(handle.get(), files.authorities.c_str(), nullptr) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            refuse_file(files.authorities, "holds no certificates that can be used");
        }
        SSL_CTX_set_client_CA_list(handle.get(), names);
        SSL_CTX_set_verify(handle.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    return std::shared_ptr<const TlsContext>(new TlsContext(std::move(handle)));
}

std::shared_ptr<const TlsContext> TlsContext::for_client(const TlsFiles& files) {
    Handle handle = new_handle();
    if (!files.certificate.empty()) {
        load_certificate(handle.get(), files);
    }
    if (files.authorities.empty()) {
        SSL_CTX_set_default_verify_paths(handle.get());
    } else if (SSL_CTX_load_verify_locations(handle.get(), files.authorities.c_str(), nullptr) != 1) {
        refuse_file(files.authorities, "holds no certificates that can be used");
    }
    SSL_CTX_set_verify(handle.get(), SSL_VERIFY_PEER, nullptr);
    return std::shared_ptr<const TlsContext>(new TlsContext(std::move(handle)));
}

std::unique_ptr<TlsSession> TlsContext::accept() const {
    SSL* const ssl = SSL_new(handle_.get());
    if (ssl == nullptr) {
        throw std::bad_alloc();
    }
    auto session = std::make_unique<TlsSession>(ssl);
    SSL_set_accept_state(ssl);
    return session;
}

std::unique_ptr<TlsSession> TlsContext::connect(const std::string& host) const {
    SSL* const ssl = SSL_new(handle_.get());
    if (ssl == nullptr) {
        throw std::bad_alloc();
    }
    auto session = std::make_unique<TlsSession>(ssl);
    SSL_set_connect_state(ssl);
    // An address is no name: it is looked for among the addresses of the certificate, and not told to the
    // server.
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) != 1) {
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (SSL_set1_host(ssl, host.c_str()) != 1 || SSL_set_tlsext_host_name(ssl, host.c_str()) != 1) {
            throw std::bad_alloc();
        }
    }
    ERR_clear_error();
    return session;
}

}  // namespace karma::net
