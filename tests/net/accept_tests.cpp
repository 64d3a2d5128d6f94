// What the server does while the machine has no descriptor for a connection.
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <netinet/in.h>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <vector>

#include <doctest/doctest.h>

#include "net/server.h"
#include "tests/net/fake_executor.h"
#include "tests/support/client.h"
#include "tests/support/comes_true.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

/// Takes all descriptors that this process may have, but for those that it gives back.
class DescriptorShortage {
public:
    DescriptorShortage() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        rlimit lower = before_;
        lower.rlim_cur = 256;  // quickly taken
        ::setrlimit(RLIMIT_NOFILE, &lower);
        for (int file = 0; (file = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) {
            taken_.emplace_back(file);
        }
        REQUIRE(errno == EMFILE);
    }
    DescriptorShortage(const DescriptorShortage&) = delete;
    DescriptorShortage& operator=(const DescriptorShortage&) = delete;
    ~DescriptorShortage() { ::setrlimit(RLIMIT_NOFILE, &before_); }

    void give_back(std::size_t count) {
        for (; count != 0; --count) taken_.pop_back();
    }

private:
    rlimit before_{};
    std::vector<FileDescriptor> taken_;
};

/// Has a socket from its beginning, and connects it later.
class WaitingClient {
public:
    WaitingClient() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        REQUIRE(socket_.get() >= 0);
    }

    void connect_and_ping(std::uint16_t port) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int refused =
            ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        REQUIRE(refused == 0);
        const std::string line = request("system.ping") + "\n";
        REQUIRE(::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(line.size()));
    }

    std::string reply() {
        std::string line;
        for (char byte = 0; byte != '\n'; line += byte) {
            REQUIRE(::recv(socket_.get(), &byte, 1, 0) == 1);
        }
        return line;
    }

private:
    FileDescriptor socket_;
};

}  // namespace

TEST_CASE("server: where no descriptor is left connections wait, it is said once, and they are taken after") {
    std::atomic<int> failures{0};
    std::atomic<int> recoveries{0};
    net::Log log([&](const std::string& line) {
        failures += contains(line, "\"accept_failed\"") ? 1 : 0;
        recoveries += contains(line, "\"accepts_again\"") ? 1 : 0;
    });
    net::ServerOptions options;
    options.address = "127.0.0.1";
    options.port = 0;
    options.threads = 2;
    FakeExecutor executor;
    net::Server server(options, executor, log);
    server.start();
    Client before(server.port());
    CHECK(before.error_of("system.ping") == "");
    for (int round = 1; round <= 2; ++round) {
        CAPTURE(round);
        std::vector<WaitingClient> waiting(3);  // their descriptors are taken before there are none left
        DescriptorShortage shortage;
        for (WaitingClient& client : waiting) client.connect_and_ping(server.port());
        CHECK(comes_true([&] { return failures >= round; }));
        CHECK(before.error_of("system.ping") == "");  // who is there is served
        shortage.give_back(3);
        for (WaitingClient& client : waiting) CHECK(contains(client.reply(), "\"success\":true"));
        CHECK(comes_true([&] { return recoveries >= round; }));
        CHECK(failures <= 3 * round);  // not one for each try
    }
}

}  // namespace karma::test
