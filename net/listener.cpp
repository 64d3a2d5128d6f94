#include "net/listener.h"

#include <stdexcept>
#include <utility>

#include "net/address_text.h"
#include "net/binding.h"

namespace karma::net {
namespace {

using boost::asio::ip::tcp;

constexpr int listen_backlog = 4096;

void listen(Listener& listener) {
    boost::system::error_code failure;
    listener.acceptor.listen(listen_backlog, failure);
    if (failure) {
        throw std::runtime_error("cannot listen on " + listener.address + ": " + failure.message());
    }
}

Listener of_tcp(tcp::acceptor bound, Transport transport, bool is_url, boost::asio::io_context& context) {
    const tcp::endpoint at = bound.local_endpoint();
    const std::string host = at.address().to_string();
    const std::string address =
        is_url ? url_text({transport, host, at.port(), {}}) : address_text(host, at.port());
    return {Listener::Acceptor(std::move(bound)), transport, address, at.port(), UnixSocketFile(),
            boost::asio::steady_timer(context)};
}

/// --port=0 means any free port, unless there are other listeners.
bool has_bind_listener(const ServerOptions& options) { return options.port != 0 || options.listen.empty(); }

}  // namespace

std::vector<Listener> listen_on(const ServerOptions& options, boost::asio::io_context& context) {
    std::vector<Listener> listeners;
    if (has_bind_listener(options)) {
        for (tcp::acceptor& bound : bind_all("--bind", options.address, options.port, context)) {
            listeners.push_back(of_tcp(std::move(bound), Transport::tcp, false, context));
        }
    }
    for (const EndpointUrl& url : options.listen) {
        if (url.transport == Transport::unix_socket) {
            UnixSocketFile file;
            auto bound = bind_unix(url.path, context, file);
            listeners.push_back({Listener::Acceptor(std::move(bound)), url.transport, url_text(url), 0,
                                 std::move(file), boost::asio::steady_timer(context)});
            continue;
        }
        for (tcp::acceptor& bound : bind_all("--listen", url.host, url.port, context)) {
            listeners.push_back(of_tcp(std::move(bound), url.transport, true, context));
        }
    }
    for (Listener& listener : listeners) {
        listen(listener);
    }
    return listeners;
}

void check_listeners(const ServerOptions& options) {
    boost::asio::io_context context;
    std::vector<tcp::acceptor> bound;  // together, as two may be the same
    const auto bind = [&](std::string_view option, const std::string& host, std::uint16_t port) {
        for (tcp::acceptor& one : bind_all(option, host, port, context)) {
            bound.push_back(std::move(one));
        }
    };
    if (has_bind_listener(options)) {
        bind("--bind", options.address, options.port);
    }
    for (const EndpointUrl& url : options.listen) {
        if (url.transport == Transport::unix_socket) {
            check_unix_path(url.path);
        } else {
            bind("--listen", url.host, url.port);
        }
    }
}

}  // namespace karma::net
