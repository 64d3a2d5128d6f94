// The daemon's listeners over TLS and Unix sockets, and what reaches it there.
#include <atomic>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <memory>
#include <sched.h>
#include <string>
#include <sys/mount.h>
#include <system_error>
#include <thread>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include "net/client_connection.h"
#include "net/tls_context.h"
#include "tests/support/certificates.h"
#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

// Certificates, and a port for a listener over TLS.
struct ListenerEncryption {
    std::vector<std::string> server_arguments() const {
        return {"--listen=" + url(), "--tls-cert=" + files.certificate, "--tls-key=" + files.key};
    }
    std::string url() const { return "karmas://127.0.0.1:" + std::to_string(port.number()); }
    std::vector<std::string> client_arguments(const std::string& subcommand) const {
        return {subcommand, "--url=" + url(), "--tls-ca=" + authority.file()};
    }
    std::unique_ptr<net::ClientConnection> connect(const CertificateAuthority& trusted) const {
        const auto tls = net::TlsContext::for_client({"", "", trusted.file()});
        return std::make_unique<net::ClientConnection>(
            net::EndpointUrl{net::Transport::tls, "127.0.0.1", port.number(), {}}, tls->connect("127.0.0.1"),
            patience());
    }

    TempDir directory;
    CertificateAuthority authority{directory.path(), "authority"};
    CertificateAuthority::Files files = authority.issue("server");
    ReservedPort port;
};

ProgramResult run_client(std::vector<std::string> arguments,
                         std::initializer_list<const char*> further = {}) {
    arguments.insert(arguments.end(), further.begin(), further.end());
    return run_program(karma_binary(), arguments);
}

std::string ask_line_over(net::ClientConnection& connection, const std::string& line) {
    connection.queue_line(line);
    return std::string(connection.read_line());
}

constexpr const char* listener_increment = R"({"v":2,"op":"counter.increment","series":"links","key":42})";

}  // namespace

TEST_CASE("listeners: the clients reach a daemon over TLS and over a Unix socket") {
    ListenerEncryption encryption;
    const std::string socket = encryption.directory / "karma.sock";
    std::vector<std::string> arguments = encryption.server_arguments();
    arguments.push_back("--listen=unix:" + socket);
    Daemon daemon(arguments);
    CHECK(run_client(encryption.client_arguments("ping")).status.code == 0);
    const ProgramResult counted =
        run_client(encryption.client_arguments("call"), {"counter.increment", "series=links", "key=42"});
    CHECK(counted.standard_output == "1\n");
    CHECK(run_client({"call", "--url=unix:" + socket}, {"counter.sum", "series=links", "key=42"})
              .standard_output == "1\n");
    write_file(encryption.directory / "points.csv", "key,bucket,value\n1,2026-05-05,7\n2,2026-05-06,8\n");
    std::vector<std::string> import = encryption.client_arguments("import");
    import.emplace_back("--series=imported");
    import.emplace_back(encryption.directory / "points.csv");
    const ProgramResult imported = run_client(import);
    CHECK_MESSAGE(imported.status.code == 0, imported.standard_error);
    CHECK(run_client(encryption.client_arguments("call"), {"counter.sum", "series=imported", "key=2"})
              .standard_output == "8\n");
    const std::string copy = encryption.directory / "copy";
    std::vector<std::string> backup = encryption.client_arguments("backup");
    backup.push_back(copy);
    const ProgramResult made = run_client(backup);
    CHECK_MESSAGE(made.status.code == 0, made.standard_error);
    // Without the authority it is not believed; without TLS there is nothing to understand.
    const ProgramResult doubted = run_client({"ping", "--url=" + encryption.url()});
    CHECK(doubted.status.code != 0);
    CHECK(contains(doubted.standard_error, "certificate was not accepted"));
    CHECK(run_client({"ping", "--timeout=5", "--port=" + std::to_string(encryption.port.number())})
              .status.code != 0);
    CHECK(daemon.stop().code == 0);
    CHECK_FALSE(std::filesystem::exists(socket));
}

TEST_CASE("listeners: a Unix socket alone, taken over after a kill") {
    const TempDir directory;
    const std::string socket = directory / "karma.sock";
    const std::string url = "--url=unix:" + socket;
    const auto data = "--directory=" + (directory / "data").string();
    for (int i = 1; i <= 2; ++i) {
        ProcessOptions options;
        options.arguments = {"--port=0", "--listen=unix:" + socket, data, "--log=false"};
        Process process(karma_binary(), options);
        CHECK(run_client({"ping", url, "--wait=60"}).status.code == 0);
        CHECK(run_client({"call", url}, {"counter.increment", "series=links", "key=1"}).status.code == 0);
        CHECK(run_client({"call", url}, {"counter.sum", "series=links", "key=1"}).standard_output ==
              std::to_string(i) + "\n");
        process.kill_hard();
        CHECK(std::filesystem::exists(socket));
    }
}

TEST_CASE("listeners: SIGHUP takes new certificates, and drops nobody under load") {
    ListenerEncryption encryption;
    Daemon daemon(encryption.server_arguments());
    constexpr int clients = 3;
    std::atomic<bool> is_over = false;
    std::vector<std::string> failures(clients);
    std::vector<std::uint64_t> counted(clients, 0);
    std::vector<std::thread> threads;
    std::vector<std::unique_ptr<net::ClientConnection>> connections;
    for (int i = 0; i < clients; ++i) connections.push_back(encryption.connect(encryption.authority));
    for (std::size_t i = 0; i < clients; ++i) {
        threads.emplace_back([&, i] {
            try {
                while (!is_over) {
                    if (ask_line_over(*connections[i], listener_increment).find("\"success\":true") ==
                        std::string::npos) {
                        failures[i] = "refused";
                        return;
                    }
                    ++counted[i];
                }
            } catch (const std::exception& failure) {
                failures[i] = failure.what();
            }
        });
    }
    std::vector<std::unique_ptr<CertificateAuthority>> authorities;
    for (int round = 0; round < 5; ++round) {
        const std::string name = "authority-" + std::to_string(round);
        authorities.push_back(std::make_unique<CertificateAuthority>(encryption.directory.path(), name));
        const auto files = authorities.back()->issue("server-" + std::to_string(round));
        std::filesystem::rename(files.key, encryption.files.key);
        std::filesystem::rename(files.certificate, encryption.files.certificate);
        daemon.send_signal(SIGHUP);
        CHECK(comes_true([&] {
            try {
                return ask_line_over(*encryption.connect(*authorities.back()),
                                     R"({"v":2,"op":"system.ping"})")
                           .find("pong") != std::string::npos;
            } catch (const net::ConnectionError&) {
                return false;
            }
        }));
    }
    // A bad file keeps those of before, and the log says so.
    write_file(encryption.files.certificate, "nothing");
    daemon.send_signal(SIGHUP);
    CHECK(comes_true([&] { return contains(daemon.standard_error(), "reload_failed"); }));
    CHECK_NOTHROW(encryption.connect(*authorities.back()));
    is_over = true;
    for (std::thread& thread : threads) thread.join();
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < clients; ++i) {
        CHECK(failures[i] == "");
        sum += counted[i];
    }
    CHECK(daemon.connect().call("counter.sum", {{"series", "links"}, {"key", 42}}) == json::value(sum));
}

TEST_CASE("listeners: a follower over TLS gets the state and what comes, and can be promoted") {
    ListenerEncryption of_master;
    ListenerEncryption of_slave;
    std::vector<std::string> arguments = of_master.server_arguments();
    arguments.push_back("--tls-ca=" + of_slave.authority.file());  // followers show a certificate
    Daemon master(arguments);
    const Client client = master.connect();
    const auto shown = of_slave.authority.issue("slave");
    std::vector<std::string> following = of_slave.server_arguments();
    for (const std::string& argument :
         {std::string("--role=slave"), std::string("--replication-source-host=127.0.0.1"),
          "--replication-source-port=" + std::to_string(of_master.port.number()),
          std::string("--replication-tls=true"), "--replication-tls-ca=" + of_master.authority.file(),
          "--replication-tls-cert=" + shown.certificate, "--replication-tls-key=" + shown.key}) {
        following.push_back(argument);
    }
    for (int i = 0; i < 100; ++i) master.connect().call("counter.increment", {{"series", "a"}, {"key", i}});
    Daemon slave(following);
    const auto has = [&](int keys) {
        return comes_true([&] {
            const json::value info = slave.connect().ask("tree.info", {{"series", "a"}});
            return member(info, "success") == json::value(true) &&
                   member(member(info, "response"), "key_count") == json::value(keys);
        });
    };
    CHECK(has(100));
    for (int i = 100; i < 200; ++i) master.connect().call("counter.increment", {{"series", "a"}, {"key", i}});
    CHECK(has(200));
    master.kill_hard();
    const ProgramResult promoted = run_client(of_slave.client_arguments("promote"), {"--force"});
    CHECK_MESSAGE(promoted.status.code == 0, promoted.standard_error);
    slave.connect().call("counter.increment", {{"series", "a"}, {"key", 1}});
    CHECK(slave.connect().call("counter.sum", {{"series", "a"}, {"key", 1}}) == json::value(2));
}

TEST_CASE("listeners: what is wrong with them is said before anything is served") {
    ListenerEncryption encryption;
    const auto refusal = [&](std::vector<std::string> arguments) {
        arguments.push_back("--directory=" + (encryption.directory / "data").string());
        arguments.emplace_back("--port=0");
        const ProgramResult result = run_program(karma_binary(), arguments);
        CHECK(result.status.code != 0);
        return result.standard_error;
    };
    CHECK(contains(refusal({"--listen=http://127.0.0.1:1"}),
                   "--listen: \"http://127.0.0.1:1\" is not karma://"));
    CHECK(contains(refusal({"--listen=karma://127.0.0.1"}), "names no port"));
    CHECK(contains(refusal({"--listen=" + encryption.url()}), "needs --tls-cert and --tls-key"));
    CHECK(
        contains(refusal({"--tls-cert=" + encryption.files.certificate}), "--tls-cert and --tls-key belong"));
    CHECK(contains(refusal({"--listen=" + encryption.url(), "--tls-cert=" + encryption.files.key,
                            "--tls-key=" + encryption.files.key}),
                   encryption.files.key + " holds no certificate"));
    CHECK(contains(refusal({"--replication-tls-ca=" + encryption.authority.file()}),
                   "need --replication-tls=true"));
    CHECK(
        contains(refusal({"--listen=unix:/no/such/directory/karma.sock"}), "/no/such/directory/karma.sock"));
    CHECK_FALSE(std::filesystem::exists(encryption.directory / "data" / "karma.db"));
}

// In a thread whose list of mounts is its own: why this is not possible here, or nothing.
static std::string give_localhost_two_addresses(const std::filesystem::path& hosts) {
    write_file(hosts, "127.0.0.1 localhost\n::1 localhost\n");
    boost::asio::io_context context;
    boost::system::error_code failure;
    boost::asio::ip::tcp::acceptor probe(context);
    probe.open(boost::asio::ip::tcp::v6(), failure);
    if (!failure) {
        probe.bind({boost::asio::ip::address_v6::loopback(), 0}, failure);
    }
    if (failure) return "no ::1: " + failure.message();
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount(hosts.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) != 0) {
        return "no list of mounts of its own: " + std::generic_category().message(errno);
    }
    return {};
}

TEST_CASE("listeners: --bind with a name binds all of its addresses") {
    std::exception_ptr failure;
    std::thread body([&] {
        try {
            const TempDir scratch;
            const std::string why = give_localhost_two_addresses(scratch / "hosts");
            if (!why.empty()) {
                MESSAGE("skip: " << why);
                return;
            }
            const Daemon daemon({"--bind=localhost"});
            for (const char* const address : {"127.0.0.1", "::1"}) {
                CAPTURE(address);
                net::ClientConnection connection(address, daemon.port(), patience());
                connection.queue_line(request("system.ping"));
                CHECK(member(parse_json(connection.read_line()), "success") == json::value(true));
            }
        } catch (...) {
            failure = std::current_exception();
        }
    });
    body.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace karma::test
