#include "net/server.h"

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <thread>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>

#include "engine/error.h"
#include "net/address_text.h"
#include "net/binding.h"
#include "net/machine.h"
#include "net/reply_writer.h"

namespace karma::net {
namespace {

using boost::asio::ip::tcp;

constexpr int listen_backlog = 4096;
constexpr auto accept_pause = std::chrono::milliseconds(100);

}  // namespace

void check_address(const ServerOptions& options) {
    boost::asio::io_context context;
    (void)bind_all(options, context);
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
      refused_logins_(log) {
    const ServerContext context{options_,        executor_,     access_,         log_,         tasks_,
                                refused_logins_, subscriptions, request_memory_, reply_memory_};
    for (unsigned i = 0; i < std::max(1U, options_.threads); ++i) {
        threads_.push_back(std::make_unique<IoThread>(context));
    }
    listen();
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

void Server::listen() {
    boost::asio::io_context& context = threads_.front()->context();
    for (tcp::acceptor& bound : bind_all(options_, context)) {
        boost::system::error_code failure;
        bound.listen(listen_backlog, failure);
        const tcp::endpoint at = bound.local_endpoint();
        const std::string address = address_text(at.address().to_string(), at.port());
        if (failure) {
            throw std::runtime_error("cannot listen on " + address + ": " + failure.message());
        }
        port_ = at.port();
        addresses_.push_back(address);
        listeners_.push_back(std::make_unique<Listener>(std::move(bound)));
    }
}

void Server::start() {
    for (const auto& listener : listeners_) {
        accept(*listener);
    }
    for (const auto& thread : threads_) {
        thread->start();
    }
}

void Server::accept(Listener& listener) {
    IoThread& thread = *threads_[next_thread_++ % threads_.size()];
    listener.acceptor.async_accept(
        thread.context(),
        [this, &listener, &thread](const boost::system::error_code& failure, tcp::socket socket) {
            if (failure == boost::asio::error::operation_aborted || !listener.acceptor.is_open()) {
                return;
            }
            if (failure) {
                pause_accepting(listener, failure.message());
                return;
            }
            try {
                adopt(std::move(socket), thread);
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
void Server::adopt(tcp::socket socket, IoThread& thread) {
    Share place(&places_);
    if (place.resize(1)) {
        if (std::exchange(is_full_, false)) {
            log_.info("connections_accepted_again", {{"refused", refused_}});
        }
        thread.adopt(std::move(socket), std::move(place), false);
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
    boost::system::error_code failure;
    const tcp::endpoint peer = socket.remote_endpoint(failure);
    Share brief(&brief_places_);
    if (!failure && peer.address().is_loopback() && brief.resize(1)) {
        thread.adopt(std::move(socket), std::move(brief), true);
        return;
    }
    ++refused_;
    refuse(std::move(socket));
}

/// Says why, as far as that is possible at once, and closes.
void Server::refuse(tcp::socket socket) {
    std::string line;
    ReplyWriter::write_error(
        {ErrorCode::resource_exhausted, "Too many connections: " + std::to_string(options_.connections_max) +
                                            " are open (--max-connections)"},
        line);
    boost::system::error_code ignored;
    socket.non_blocking(true, ignored);
    std::array<char, 4096> unread{};
    socket.read_some(boost::asio::buffer(unread), ignored);  // or closing would take the reply back
    socket.write_some(boost::asio::buffer(line), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
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
        for (const auto& listener : listeners_) {
            boost::system::error_code ignored;
            listener->acceptor.close(ignored);
            listener->pause.cancel();
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
