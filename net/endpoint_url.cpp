#include "net/endpoint_url.h"

#include <charconv>
#include <stdexcept>

#include "engine/utf8.h"
#include "net/address_text.h"

namespace karma::net {
namespace {

[[noreturn]] void refuse_url(std::string_view url, const std::string& why) {
    constexpr std::size_t shown_max = 200;
    throw std::invalid_argument("\"" + std::string(shortened_utf8(url, shown_max)) + "\" " + why);
}

constexpr const char* form_text =
    "is not karma://HOST:PORT, karmas://HOST:PORT or unix:PATH; an IPv6 address stands in brackets";

std::uint16_t port_of(std::string_view text, std::string_view url) {
    std::uint16_t port = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (failure != std::errc() || end != text.data() + text.size() || port == 0) {
        refuse_url(url, "has a port that is no number from 1 to 65535");
    }
    return port;
}

EndpointUrl over_unix(std::string_view path, std::string_view url) {
    while (path.starts_with("//")) {
        path.remove_prefix(1);
    }
    if (path.empty() || path.find('\0') != std::string_view::npos) {
        refuse_url(url, "names no path");
    }
    EndpointUrl endpoint;
    endpoint.transport = Transport::unix_socket;
    endpoint.path = path;
    return endpoint;
}

}  // namespace

EndpointUrl parse_endpoint_url(std::string_view url) {
    constexpr std::string_view over_tcp = "karma://";
    constexpr std::string_view over_tls = "karmas://";
    constexpr std::string_view on_this_machine = "unix:";
    if (url.starts_with(on_this_machine)) {
        return over_unix(url.substr(on_this_machine.size()), url);
    }
    EndpointUrl endpoint;
    std::string_view rest = url;
    if (url.starts_with(over_tls)) {
        endpoint.transport = Transport::tls;
        rest.remove_prefix(over_tls.size());
    } else if (url.starts_with(over_tcp)) {
        rest.remove_prefix(over_tcp.size());
    } else {
        refuse_url(url, form_text);
    }
    if (rest.ends_with('/')) {
        rest.remove_suffix(1);
    }
    std::string_view host = rest.substr(0, rest.find(':'));
    if (rest.starts_with('[')) {
        const std::size_t end = rest.find(']');
        if (end == std::string_view::npos) {
            refuse_url(url, form_text);
        }
        host = rest.substr(1, end - 1);
        rest.remove_prefix(end + 1);
    } else {
        rest.remove_prefix(host.size());
    }
    if (host.empty() || host.find_first_of("/@?#") != std::string_view::npos) {
        refuse_url(url, form_text);
    }
    endpoint.host = host;
    if (!rest.empty()) {
        if (!rest.starts_with(':')) {
            refuse_url(url, form_text);
        }
        endpoint.port = port_of(rest.substr(1), url);
    }
    return endpoint;
}

std::string url_text(const EndpointUrl& endpoint) {
    if (endpoint.transport == Transport::unix_socket) {
        return "unix:" + endpoint.path;
    }
    const std::string scheme = endpoint.transport == Transport::tls ? "karmas://" : "karma://";
    return scheme + address_text(endpoint.host, endpoint.port);
}

}  // namespace karma::net
