#include "net/binding.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include <boost/asio/ip/v6_only.hpp>

#include "net/address_text.h"

namespace karma::net {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;

std::vector<tcp::endpoint> endpoints_of(std::string_view option, const std::string& host, std::uint16_t port,
                                        boost::asio::io_context& context) {
    error_code failure;
    const auto found =
        tcp::resolver(context).resolve(host == "*" ? std::string() : host, std::to_string(port),
                                       tcp::resolver::passive | tcp::resolver::numeric_service, failure);
    if (failure || found.empty()) {
        throw std::runtime_error(std::string(option) + ": cannot resolve " + address_text(host, port) + ": " +
                                 failure.message());
    }
    std::vector<tcp::endpoint> endpoints;
    for (const auto& entry : found) {
        if (std::ranges::count(endpoints, entry.endpoint()) == 0) {
            endpoints.push_back(entry.endpoint());
        }
    }
    return endpoints;
}

/// `is_only`: no other address is bound, so that an IPv6 one may take IPv4 connections as well.
tcp::acceptor bind_one(const tcp::endpoint& endpoint, bool is_only, boost::asio::io_context& context,
                       error_code& failure) {
    tcp::acceptor acceptor(context);
    acceptor.open(endpoint.protocol(), failure);
    if (!failure) {
        acceptor.set_option(tcp::acceptor::reuse_address(true), failure);
    }
    if (!failure && !is_only && endpoint.address().is_v6()) {
        acceptor.set_option(boost::asio::ip::v6_only(true), failure);
    }
    if (!failure) {
        acceptor.bind(endpoint, failure);
    }
    return acceptor;
}

bool is_not_of_this_machine(const error_code& failure) {
    return failure == boost::system::errc::address_not_available ||
           failure == boost::system::errc::address_family_not_supported;
}

/// What came of binding all endpoints.
struct Bound {
    std::vector<tcp::acceptor> acceptors;
    error_code failure;      // of the address that has to be bound and cannot be
    std::string address;     // that one
    error_code passed_over;  // of one that this machine does not have
};

Bound try_all(std::vector<tcp::endpoint> endpoints, boost::asio::io_context& context) {
    Bound bound;
    const bool is_only = endpoints.size() == 1;
    for (tcp::endpoint& endpoint : endpoints) {
        if (!bound.acceptors.empty()) {
            endpoint.port(bound.acceptors.front().local_endpoint().port());
        }
        error_code failure;
        tcp::acceptor acceptor = bind_one(endpoint, is_only, context, failure);
        if (failure && is_not_of_this_machine(failure)) {
            bound.passed_over = failure;
        } else if (failure) {
            bound.failure = failure;
            bound.address = address_text(endpoint.address().to_string(), endpoint.port());
            return bound;
        } else {
            bound.acceptors.push_back(std::move(acceptor));
        }
    }
    return bound;
}

}  // namespace

std::vector<tcp::acceptor> bind_all(std::string_view option, const std::string& host, std::uint16_t port,
                                    boost::asio::io_context& context) {
    const std::vector<tcp::endpoint> endpoints = endpoints_of(option, host, port, context);
    Bound bound = try_all(endpoints, context);
    // The port that the system has chosen for one address may be taken at another.
    constexpr int attempts_max = 16;
    for (int attempt = 1;
         port == 0 && bound.failure == boost::system::errc::address_in_use && attempt < attempts_max;
         ++attempt) {
        bound = try_all(endpoints, context);
    }
    if (bound.failure) {
        throw std::runtime_error("cannot listen on " + bound.address + ": " + bound.failure.message());
    }
    if (bound.acceptors.empty()) {
        throw std::runtime_error("cannot listen on " + address_text(host, port) + ": " +
                                 bound.passed_over.message());
    }
    return std::move(bound.acceptors);
}

}  // namespace karma::net
