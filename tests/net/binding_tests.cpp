// A name that has several addresses.
#include <dlfcn.h>
#include <netdb.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>

#include "net/binding.h"
#include "net/server.h"
#include "tests/net/fake_executor.h"
#include "tests/support/client.h"

// In place of the system's function: NAME,NAME has the addresses of both.
// NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): the system's names are not for others
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** found) {
    using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    const std::string names = node == nullptr ? "" : node;
    const std::size_t comma = names.find(',');
    if (comma == std::string::npos) {
        return real(node, service, hints, found);
    }
    if (const int failure = real(names.substr(0, comma).c_str(), service, hints, found); failure != 0) {
        return failure;
    }
    addrinfo* last = *found;
    while (last->ai_next != nullptr) {
        last = last->ai_next;
    }
    return getaddrinfo(names.substr(comma + 1).c_str(), service, hints, &last->ai_next);
}

namespace karma::test {

namespace {

using boost::asio::ip::tcp;

net::ServerOptions binding_options(const std::string& address, std::uint16_t port = 0) {
    net::ServerOptions options;
    options.address = address;
    options.port = port;
    return options;
}

std::vector<tcp::acceptor> bind(const std::string& host, boost::asio::io_context& context,
                                std::uint16_t port = 0) {
    return net::bind_all("--bind", host, port, context);
}

std::vector<std::string> hosts_of(const std::vector<tcp::acceptor>& bound) {
    std::vector<std::string> hosts;
    for (const tcp::acceptor& one : bound) {
        hosts.push_back(one.local_endpoint().address().to_string());
        CHECK(one.local_endpoint().port() == bound.front().local_endpoint().port());
    }
    return hosts;
}

}  // namespace

TEST_CASE("binding: all addresses of a name, to one port") {
    using Hosts = std::vector<std::string>;
    boost::asio::io_context context;
    CHECK(hosts_of(bind("127.0.0.1,127.0.0.2", context)) == Hosts{"127.0.0.1", "127.0.0.2"});
    CHECK(hosts_of(bind("127.0.0.1,127.0.0.1", context)) == Hosts{"127.0.0.1"});
    // One that this machine does not have is passed over, unless there is no other one.
    CHECK(hosts_of(bind("240.0.0.1,127.0.0.2", context)) == Hosts{"127.0.0.2"});
    CHECK_THROWS_WITH_AS(bind("240.0.0.1,240.0.0.2", context),
                         doctest::Contains("cannot listen on 240.0.0.1,240.0.0.2:0: "), std::runtime_error);
    CHECK_THROWS_WITH_AS(bind("no such host.invalid", context),
                         doctest::Contains("--bind: cannot resolve no such host.invalid"),
                         std::runtime_error);
    // One that is taken is not.
    std::vector<tcp::acceptor> taken = bind("127.0.0.2", context);
    taken.front().listen();
    const std::uint16_t port = taken.front().local_endpoint().port();
    const std::string place = "127.0.0.2:" + std::to_string(port);
    CHECK_THROWS_WITH_AS(bind("127.0.0.1,127.0.0.2", context, port),
                         doctest::Contains(("cannot listen on " + place).c_str()), std::runtime_error);
}

TEST_CASE("binding: a server answers on all addresses of its name, and stops on all") {
    FakeExecutor executor;
    net::Log log(net::LogLevel::warning);
    net::Server server(binding_options("127.0.0.1,127.0.0.2"), executor, log);
    server.start();
    const std::string port = std::to_string(server.port());
    CHECK(server.addresses() == std::vector<std::string>{"127.0.0.1:" + port, "127.0.0.2:" + port});
    boost::asio::io_context context;
    const auto answer_from = [&](const char* host) {
        tcp::socket socket(context);
        socket.connect({boost::asio::ip::make_address(host), server.port()});
        boost::asio::write(socket,
                           boost::asio::buffer(std::string_view("{\"v\":2,\"op\":\"system.ping\"}\n")));
        std::string line;
        boost::asio::read_until(socket, boost::asio::dynamic_buffer(line), '\n');
        return line;
    };
    for (int round = 0; round < 3; ++round) {
        CHECK(answer_from("127.0.0.1").find("pong") != std::string::npos);
        CHECK(answer_from("127.0.0.2").find("pong") != std::string::npos);
    }
    server.stop();
    server.join();
    for (const char* const host : {"127.0.0.1", "127.0.0.2"}) {
        tcp::socket socket(context);
        boost::system::error_code failure;
        socket.connect({boost::asio::ip::make_address(host), server.port()}, failure);
        CHECK(failure);
    }
}

}  // namespace karma::test
