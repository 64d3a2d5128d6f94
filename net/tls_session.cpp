#include "net/tls_session.h"

#include <cerrno>
#include <new>
#include <sys/socket.h>
#include <system_error>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace karma::net {

/// How OpenSSL reaches the socket. Its own way would end the process with SIGPIPE where that is not ignored.
struct SocketBio {
    static int read(BIO* bio, char* bytes, std::size_t size, std::size_t* got) {
        return transfer(bio, got, BIO_FLAGS_READ, [&](int file) { return ::recv(file, bytes, size, 0); });
    }
    static int write(BIO* bio, const char* bytes, std::size_t size, std::size_t* sent) {
        return transfer(bio, sent, BIO_FLAGS_WRITE,
                        [&](int file) { return ::send(file, bytes, size, MSG_NOSIGNAL); });
    }
    static long control(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
        if (command == BIO_CTRL_EOF) {
            return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
        }
        return command == BIO_CTRL_FLUSH ? 1 : 0;
    }

    template <typename Operation>
    static int transfer(BIO* bio, std::size_t* size, int direction, Operation&& operation) {
        auto* const session = static_cast<TlsSession*>(BIO_get_data(bio));
        BIO_clear_retry_flags(bio);
        ssize_t count = -1;
        do {
            count = operation(session->file_);
        } while (count < 0 && errno == EINTR);
        if (count > 0) {
            *size = static_cast<std::size_t>(count);
            return 1;
        }
        *size = 0;
        if (count == 0) {
            BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
            return 0;
        }
        if (errno == EAGAIN) {
            BIO_set_flags(bio, direction | BIO_FLAGS_SHOULD_RETRY);
        } else {
            session->file_error_ = errno;
        }
        return 0;
    }

    static BIO_METHOD* method() {
        static BIO_METHOD* const made = [] {
            BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
            BIO_meth_set_read_ex(method, &SocketBio::read);
            BIO_meth_set_write_ex(method, &SocketBio::write);
            BIO_meth_set_ctrl(method, &SocketBio::control);
            return method;
        }();
        return made;
    }
};

void TlsSession::Deleter::operator()(ssl_st* ssl) const noexcept { SSL_free(ssl); }

TlsSession::TlsSession(ssl_st* ssl) noexcept : ssl_(ssl) {
    BIO* const bio = BIO_new(SocketBio::method());
    if (bio == nullptr) {
        has_failed_ = true;
        failure_ = "out of memory";
        return;
    }
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
}

TlsSession::~TlsSession() = default;

bool TlsSession::is_handshaking() const noexcept { return SSL_is_init_finished(ssl_.get()) == 0; }

IoResult TlsSession::handshake() noexcept {
    if (has_failed_) {
        return {0, IoState::failed};
    }
    ERR_clear_error();
    return result_of(SSL_do_handshake(ssl_.get()), 0, read_waits_to_write_, write_waits_to_read_);
}

IoResult TlsSession::read(std::span<char> room) noexcept {
    if (has_failed_) {
        return {0, IoState::failed};
    }
    std::size_t size = 0;
    ERR_clear_error();
    const int returned = SSL_read_ex(ssl_.get(), room.data(), room.size(), &size);
    bool waits_to_read = false;  // what a read does anyway
    return result_of(returned, size, read_waits_to_write_, waits_to_read);
}

IoResult TlsSession::write(std::string_view bytes) noexcept {
    if (has_failed_) {
        return {0, IoState::failed};
    }
    std::size_t size = 0;
    ERR_clear_error();
    const int returned = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &size);
    bool waits_to_write = false;
    return result_of(returned, size, waits_to_write, write_waits_to_read_);
}

IoResult TlsSession::result_of(int returned, std::size_t size, bool& waits_to_write,
                               bool& waits_to_read) noexcept {
    waits_to_write = false;
    waits_to_read = false;
    if (returned > 0) {
        return {size, IoState::done};
    }
    const int error = SSL_get_error(ssl_.get(), returned);
    switch (error) {
        case SSL_ERROR_WANT_READ: waits_to_read = true; return {0, IoState::would_block};
        case SSL_ERROR_WANT_WRITE: waits_to_write = true; return {0, IoState::would_block};
        case SSL_ERROR_ZERO_RETURN: return {0, IoState::ended};
        default: note_failure(error); return {0, IoState::failed};
    }
}

/// Nothing can be done with a session after its first failure.
void TlsSession::note_failure(int error) noexcept {
    has_failed_ = true;
    try {
        const unsigned long code = ERR_peek_last_error();
        const long verified = SSL_get_verify_result(ssl_.get());
        if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
            failure_ = std::string("the other end's certificate was not accepted: ") +
                       X509_verify_cert_error_string(verified);
        } else if (const char* const reason = ERR_reason_error_string(code);
                   reason != nullptr && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            failure_ = std::string("TLS: ") + reason;
        } else if (error == SSL_ERROR_SYSCALL && file_error_ != 0) {
            failure_ = std::generic_category().message(file_error_);
        } else {
            failure_ = "the connection was cut off";
        }
    } catch (const std::bad_alloc&) {
        failure_.clear();
    }
    ERR_clear_error();
}

std::size_t TlsSession::buffered_bytes() const noexcept {
    const int size = SSL_pending(ssl_.get());
    return size > 0 ? static_cast<std::size_t>(size) : 0;
}

bool TlsSession::has_ended() noexcept {
    if (has_failed_ || is_handshaking()) {
        return false;
    }
    char next = 0;
    std::size_t size = 0;
    ERR_clear_error();
    const int returned = SSL_peek_ex(ssl_.get(), &next, 1, &size);
    bool waits_to_write = false;
    bool waits_to_read = false;
    return result_of(returned, size, waits_to_write, waits_to_read).state == IoState::ended;
}

void TlsSession::end_writing() noexcept {
    if (!has_failed_ && !is_handshaking() && (SSL_get_shutdown(ssl_.get()) & SSL_SENT_SHUTDOWN) == 0) {
        ERR_clear_error();
        SSL_shutdown(ssl_.get());
        ERR_clear_error();
    }
}

}  // namespace karma::net
