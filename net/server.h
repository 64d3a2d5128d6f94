#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/executor.h"
#include "net/access.h"
#include "net/io_thread.h"
#include "net/listener.h"
#include "net/log.h"
#include "net/server_options.h"
#include "net/task_pools.h"

namespace karma::net {

/// Throws std::runtime_error that names an address on which a server could not listen, or a certificate that
/// it could not use. Changes nothing.
void check_serving(const ServerOptions& options);

/// Serves a database on all addresses that the options name. Thread-safe.
class Server {
public:
    /// Listens. `executor`, `log` and `subscriptions` outlive the server; without `subscriptions` (null) no
    /// node can follow this one. Throws std::runtime_error that names an address that cannot be bound, or the
    /// file of a certificate that cannot be used.
    Server(const ServerOptions& options, Executor& executor, Log& log,
           SubscriptionHost* subscriptions = nullptr);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Stops and waits for the end.
    ~Server();

    /// Begins to serve, on threads of its own.
    void start();

    /// The first port on which it listens, in the clear or over TLS; 0: none.
    std::uint16_t port(Transport transport = Transport::tcp) const noexcept;
    /// Where it listens.
    std::vector<std::string> addresses() const;

    /// Stops accepting and reading, cancels administrative tasks, answers the requests that were received
    /// completely, for `shutdown_timeout` at most, and closes all connections.
    void stop();

    /// Replaces the tokens, for open connections, too. From any thread.
    void replace_tokens(TokenSet tokens) { access_.replace(std::move(tokens)); }

    /// Uses the certificates of these files for connections that begin afterwards. Throws TlsError, and keeps
    /// the old ones then. From any thread.
    void reload_certificates(const TlsFiles& files);

    /// Waits until `stop` is done.
    void join();

private:
    std::shared_ptr<const TlsContext> tls() const;
    void accept_again();
    void accept(Listener& listener);
    void adopt(StreamSocket::Native socket, Transport transport, IoThread& thread);
    void refuse(StreamSocket::Native socket);
    void pause_accepting(Listener& listener, const std::string& why);

    const ServerOptions options_;
    Executor& executor_;
    Log& log_;
    Access access_;
    Budget places_;        // of connections
    Budget brief_places_;  // of those from this machine that are taken beyond them
    Budget request_memory_;
    Budget reply_memory_;
    RefusedLogins refused_logins_;
    TaskPools tasks_;
    std::vector<std::unique_ptr<IoThread>> threads_;
    std::vector<Listener> listeners_;  // on the first thread
    mutable std::mutex tls_mutex_;
    std::shared_ptr<const TlsContext> tls_;  // null: nothing listens over TLS
    std::size_t next_thread_ = 0;
    // Of the first thread: a condition is logged when it begins and when it ends, not each time.
    bool is_full_ = false;
    bool cannot_accept_ = false;
    std::uint64_t refused_ = 0;  // connections, since they began to be refused
    int durable_listener_ = 0;
};

}  // namespace karma::net
