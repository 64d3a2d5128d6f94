#include "net/server.h"

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>

#include <boost/asio/post.hpp>

#include "engine/error.h"
#include "net/machine.h"
#include "net/reply_writer.h"

namespace karma::net {
namespace {

constexpr auto accept_pause = std::chrono::milliseconds(100);

std::shared_ptr<const TlsContext> tls_of(const ServerOptions& options) {
    const bool is_needed = std::ranges::any_of(
        options.listen, [](const EndpointUrl& url) { return url.transport == Transport::tls; });
    return is_needed ? TlsContext::for_server(options.tls) : nullptr;
}

}  // namespace

void check_serving(const ServerOptions& options) {
    (void)tls_of(options);
    check_listeners(options);
}

Server::Server(const ServerOptions& options, Executor& executor, Log& log, SubscriptionHost* subscriptions)
    : options_(options),
      executor_(executor),
      log_(log),
      access_(options.token_set()),
      places_(options.connections_max),
      brief_places_(administrator_connections),
      request_memory_(options.request_memory_max),
      reply_memory_(options.reply_memory_max),
      refused_logins_(log),
      tls_(tls_of(options)) {
    const ServerContext context{options_,        executor_,     access_,         log_,         tasks_,
                                refused_logins_, subscriptions, request_memory_, reply_memory_};
    for (unsigned i = 0; i < std::max(1U, options_.threads); ++i) {
        threads_.push_back(std::make_unique<IoThread>(context));
    }
    listeners_ = listen_on(options_, threads_.front()->context());
    threads_.front()->set_repair([this] { accept_again(); });
    durable_listener_ = executor_.add_durable_listener([this] {
        for (const auto& thread : threads_) {
            thread->wake();
        }
    });
}

Server::~Server() {
    stop();
    join();
    tasks_.join();
    executor_.remove_durable_listener(durable_listener_);
}

std::uint16_t Server::port(Transport transport) const noexcept {
    const auto found = std::ranges::find(listeners_, transport, &Listener::transport);
    return found == listeners_.end() ? std::uint16_t{0} : found->port;
}

std::vector<std::string> Server::addresses() const {
    std::vector<std::string> all;
    all.reserve(listeners_.size());
    for (const Listener& listener : listeners_) {
        all.push_back(listener.address);
    }
    return all;
}

std::shared_ptr<const TlsContext> Server::tls() const {
    const std::lock_guard lock(tls_mutex_);
    return tls_;
}

void Server::reload_certificates(const TlsFiles& files) {
    std::shared_ptr<const TlsContext> read = TlsContext::for_server(files);
    const std::lock_guard lock(tls_mutex_);
    tls_ = std::move(read);
}

void Server::start() {
    for (Listener& listener : listeners_) {
        accept(listener);
    }
    for (const auto& thread : threads_) {
        thread->start();
    }
}

/// On the thread of the listeners, after memory has ended there. A listener may have found none to wait for
/// its next connection, and a connection none for its place in the reactor, of which nobody is told: it would
/// accept none any more.
void Server::accept_again() {
    for (Listener& listener : listeners_) {
        if (listener.acceptor.is_open()) {
            boost::system::error_code ignored;
            listener.acceptor.cancel(ignored);
            listener.pause.cancel();
            accept(listener);
        }
    }
}

void Server::accept(Listener& listener) {
    IoThread& thread = *threads_[next_thread_++ % threads_.size()];
    listener.acceptor.async_accept(
        thread.context(),
        [this, &listener, &thread](const boost::system::error_code& failure, StreamSocket::Native socket) {
            if (failure == boost::asio::error::operation_aborted || !listener.acceptor.is_open()) {
                return;
            }
            if (failure) {
                pause_accepting(listener, failure.message());
                return;
            }
            try {
                adopt(std::move(socket), listener.transport, thread);
            } catch (const std::bad_alloc&) {
                pause_accepting(listener, "out of memory");
                return;
            }
            if (std::exchange(cannot_accept_, false)) {
                log_.info("accepts_again", {});
            }
            accept(listener);
        });
}

/// Gives a connection a place among those that there may be, or says that there is none.
void Server::adopt(StreamSocket::Native socket, Transport transport, IoThread& thread) {
    std::unique_ptr<TlsSession> session = transport == Transport::tls ? tls()->accept() : nullptr;
    Share place(&places_);
    if (place.resize(1)) {
        if (std::exchange(is_full_, false)) {
            log_.info("connections_accepted_again", {{"refused", refused_}});
        }
        thread.adopt({std::move(socket), std::move(session), std::move(place), false});
        return;
    }
    if (!std::exchange(is_full_, true)) {
        refused_ = 0;
        log_.warning("too_many_connections",
                     {{"max_connections", std::uint64_t{options_.connections_max}},
                      {"message",
                       "further ones are refused; raise --max-connections and the limit of open "
                       "files, or set --idle-timeout"}});
    }
    Share brief(&brief_places_);
    if (is_local(socket) && brief.resize(1)) {
        thread.adopt({std::move(socket), std::move(session), std::move(brief), true});
        return;
    }
    ++refused_;
    if (transport != Transport::tls) {  // over TLS nothing can be said yet
        refuse(std::move(socket));
    }
}

/// Says why, as far as that is possible at once, and closes.
void Server::refuse(StreamSocket::Native socket) {
    StreamSocket refused(std::move(socket), nullptr);
    std::string line;
    ReplyWriter::write_error(
        {ErrorCode::resource_exhausted, "Too many connections: " + std::to_string(options_.connections_max) +
                                            " are open (--max-connections)"},
        line);
    std::array<char, 4096> unread{};
    refused.stream().read(unread);  // or closing would take the reply back
    refused.stream().write(line);
    refused.stream().end_writing();
}

/// Too many open files, mostly: trying again at once would only fail again.
void Server::pause_accepting(Listener& listener, const std::string& why) {
    if (!std::exchange(cannot_accept_, true)) {
        log_.warning("accept_failed", {{"message", why}, {"next", "it is tried again, and said no more"}});
    }
    listener.pause.expires_after(accept_pause);
    listener.pause.async_wait([this, &listener](const boost::system::error_code& failure) {
        if (!failure && listener.acceptor.is_open()) {
            accept(listener);
        }
    });
}

void Server::stop() {
    tasks_.cancel(TaskKind::administration);
    boost::asio::post(threads_.front()->context(), [this] {
        for (Listener& listener : listeners_) {
            boost::system::error_code ignored;
            listener.acceptor.close(ignored);
            listener.pause.cancel();
            listener.file = UnixSocketFile();
        }
    });
    for (const auto& thread : threads_) {
        thread->begin_shutdown();
    }
}

void Server::join() {
    for (const auto& thread : threads_) {
        thread->join();
    }
}

}  // namespace karma::net
