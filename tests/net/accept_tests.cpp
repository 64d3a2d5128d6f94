// What the server does while the machine has no descriptor for a connection.
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/resource.h>
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
        DescriptorShortage shortage;
        shortage.give_back(3);  // for clients alone
        std::vector<Client> waiting;
        for (int i = 0; i < 3; ++i) {
            waiting.emplace_back(server.port());
            waiting.back().send_line(request("system.ping"));
        }
        CHECK(comes_true([&] { return failures >= round; }));
        CHECK(before.error_of("system.ping") == "");  // who is there is served
        shortage.give_back(3);
        for (Client& client : waiting) CHECK(contains(client.receive_line(), "\"success\":true"));
        CHECK(comes_true([&] { return recoveries >= round; }));
        CHECK(failures <= 3 * round);  // not one for each try
    }
}

}  // namespace karma::test
