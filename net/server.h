#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "engine/executor.h"
#include "net/access.h"
#include "net/io_thread.h"
#include "net/log.h"
#include "net/server_options.h"
#include "net/task_pools.h"

namespace karma::net {

/// Throws std::runtime_error that names the address where a server could not listen: before anything is
/// changed for it.
void check_address(const ServerOptions& options);

/// Serves a database over TCP, on all addresses that the host has which it is to be bound to. Thread-safe.
class Server {
public:
    /// Binds and listens; `executor` and `log` outlive the server. Throws std::runtime_error that names the
    /// address when it cannot.
    /// `subscriptions` as well; null where nobody can follow.
    Server(const ServerOptions& options, Executor& executor, Log& log,
           SubscriptionHost* subscriptions = nullptr);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Stops and waits for the end.
    ~Server();

    /// Begins to serve, on threads of its own.
    void start();

    /// The port that is listened on.
    std::uint16_t port() const noexcept { return port_; }
    /// Address and port of all listeners.
    const std::vector<std::string>& addresses() const noexcept { return addresses_; }

    /// Accepts and reads no more, cancels administrative tasks, answers what was received completely within
    /// `shutdown_timeout` and closes all connections.
    void stop();

    /// From here on these tokens count. From any thread.
    void replace_tokens(TokenSet tokens) { access_.replace(std::move(tokens)); }

    /// Waits until `stop` is done.
    void join();

private:
    /// Of one address; on the first thread.
    struct Listener {
        explicit Listener(boost::asio::ip::tcp::acceptor bound)
            : acceptor(std::move(bound)), pause(acceptor.get_executor()) {}

        boost::asio::ip::tcp::acceptor acceptor;
        boost::asio::steady_timer pause;  // after accepting has failed
    };

    void listen();
    void accept(Listener& listener);
    void adopt(boost::asio::ip::tcp::socket socket, IoThread& thread);
    void refuse(boost::asio::ip::tcp::socket socket);
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
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::vector<std::string> addresses_;
    std::size_t next_thread_ = 0;
    // Of the first thread: what is so is logged when it begins and when it ends, not each time.
    bool is_full_ = false;
    bool cannot_accept_ = false;
    std::uint64_t refused_ = 0;  // connections, since they began to be refused
    std::uint16_t port_ = 0;
    int durable_listener_ = 0;
};

}  // namespace karma::net
