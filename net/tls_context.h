#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "net/tls_session.h"

struct ssl_ctx_st;

namespace karma::net {

/// PEM files; empty: none.
struct TlsFiles {
    std::string certificate;  // with those that it is signed by, but for the last one
    std::string key;          // of the certificate, without a passphrase
    std::string authorities;  // whose certificates the other end may have
};

/// A file cannot be used; the text names it.
class TlsError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Certificates and rules that connections begin with: TLS 1.2 and 1.3, no renegotiation, no resumption.
/// Sessions keep what they began with. Thread-safe.
class TlsContext {
public:
    /// For who accepts: certificate and key are needed; with `authorities` each client needs a certificate.
    /// Throws TlsError.
    static std::shared_ptr<const TlsContext> for_server(const TlsFiles& files);
    /// For who connects: without `authorities` those of the system count. Throws TlsError.
    static std::shared_ptr<const TlsContext> for_client(const TlsFiles& files);

    /// The session of a connection that was accepted. Throws std::bad_alloc.
    std::unique_ptr<TlsSession> accept() const;
    /// The session of a connection to a host, a name or an address, which its certificate has to be for.
    /// Throws std::bad_alloc.
    std::unique_ptr<TlsSession> connect(const std::string& host) const;

private:
    struct Deleter {
        void operator()(ssl_ctx_st* context) const noexcept;
    };
    using Handle = std::unique_ptr<ssl_ctx_st, Deleter>;

    explicit TlsContext(Handle handle) noexcept;
    static Handle new_handle();
    static void load_certificate(ssl_ctx_st* context, const TlsFiles& files);

    Handle handle_;
};

}  // namespace karma::net
