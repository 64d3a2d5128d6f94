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

/// The certificates and rules for new connections: TLS 1.2 and 1.3, no renegotiation, no resumption. A
/// session keeps the context with which it began. Thread-safe.
class TlsContext {
public:
    /// For a server, which needs certificate and key; with `authorities` each client needs a certificate.
    /// Throws TlsError.
    static std::shared_ptr<const TlsContext> for_server(const TlsFiles& files);
    /// For a client; without `authorities` those of the system count. Throws TlsError.
    static std::shared_ptr<const TlsContext> for_client(const TlsFiles& files);

    /// The session of a connection that was accepted. Throws std::bad_alloc.
    std::unique_ptr<TlsSession> accept() const;
    /// The session of a connection to a host (a name or an address), which has to be in the certificate of
    /// the host. Throws std::bad_alloc.
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
