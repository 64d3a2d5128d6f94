// The same server over TCP, TLS and Unix sockets.
#include <algorithm>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "net/client_connection.h"
#include "net/server.h"
#include "tests/net/fake_executor.h"
#include "tests/support/certificates.h"
#include "tests/support/client.h"
#include "tests/support/comes_true.h"
#include "tests/support/temp_dir.h"

namespace karma::test {
namespace {

constexpr const char* transport_ping = R"({"v":2,"op":"system.ping"})";
constexpr const char* transport_increment =
    R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":20260505})";

using net::ClientConnection;
using net::EndpointUrl;
using net::TlsContext;
using net::Transport;

class TransportServing {
public:
    explicit TransportServing(std::vector<EndpointUrl> listen, net::TlsFiles tls = {},
                              std::chrono::milliseconds read_timeout = std::chrono::minutes(5)) {
        options.port = 0;
        options.listen = std::move(listen);
        options.tls = std::move(tls);
        options.read_timeout = read_timeout;
        options.write_timeout = std::chrono::minutes(5);
        server = std::make_unique<net::Server>(options, executor, log);
        server->start();
        executor.make_durable(1'000'000);
    }

    net::ServerOptions options;
    FakeExecutor executor;
    net::Log log{net::LogLevel::warning};
    std::unique_ptr<net::Server> server;
};

EndpointUrl over_tls(std::uint16_t port = 0) { return {Transport::tls, "127.0.0.1", port, {}}; }
EndpointUrl over_unix(const std::filesystem::path& path) {
    return {Transport::unix_socket, "", 0, path.string()};
}

std::string ask_over(ClientConnection& connection, const std::string& line) {
    connection.queue_line(line);
    return std::string(connection.read_line());
}

// A server over TLS and what its clients need.
struct EncryptedServer {
    explicit EncryptedServer(bool asks_for_certificates = false,
                             std::chrono::milliseconds read_timeout = std::chrono::minutes(5))
        : serving({over_tls()},
                  {files.certificate, files.key, asks_for_certificates ? authority.file() : std::string()},
                  read_timeout),
          port(serving.server->port(Transport::tls)) {}

    std::shared_ptr<const TlsContext> client() const {
        return TlsContext::for_client({"", "", authority.file()});
    }
    std::unique_ptr<ClientConnection> connect(const std::shared_ptr<const TlsContext>& tls) const {
        return std::make_unique<ClientConnection>(over_tls(port), tls->connect("127.0.0.1"), patience());
    }

    TempDir directory;
    CertificateAuthority authority{directory.path(), "authority"};
    CertificateAuthority::Files files = authority.issue("server");
    TransportServing serving;
    std::uint16_t port;
};

std::string why_refused(const std::function<void()>& connect) {
    try {
        connect();
    } catch (const net::ConnectionError& failure) {
        return failure.what();
    }
    return "";
}

}  // namespace

TEST_CASE("transport: URLs name endpoints, and what is wrong with them") {
    using net::parse_endpoint_url;
    CHECK(parse_endpoint_url("karma://host:80") == EndpointUrl{Transport::tcp, "host", 80, {}});
    CHECK(parse_endpoint_url("karma://host/") == EndpointUrl{Transport::tcp, "host", 0, {}});
    CHECK(parse_endpoint_url("karmas://[::1]:81") == EndpointUrl{Transport::tls, "::1", 81, {}});
    CHECK(parse_endpoint_url("karma://*:65535") == EndpointUrl{Transport::tcp, "*", 65535, {}});
    CHECK(parse_endpoint_url("unix:/run/karma") == EndpointUrl{Transport::unix_socket, "", 0, "/run/karma"});
    CHECK(parse_endpoint_url("unix:///run/karma") ==
          EndpointUrl{Transport::unix_socket, "", 0, "/run/karma"});
    CHECK(parse_endpoint_url("unix:karma.sock") == EndpointUrl{Transport::unix_socket, "", 0, "karma.sock"});
    for (const char* const wrong :
         {"", "host:80", "http://host:80", "karma://", "karma://:80", "karma://[::1", "karma://[::1]80",
          "karma://a@b:80", "karma://host:0", "karma://host:65536", "karma://host:x", "karma://host:80x",
          "karma://host/x", "unix:", "karmas://?"}) {
        CAPTURE(wrong);
        CHECK_THROWS_AS(parse_endpoint_url(wrong), std::invalid_argument);
    }
    for (const char* const url : {"karma://host:80", "karmas://[::1]:81", "unix:/run/karma"}) {
        CHECK(net::url_text(parse_endpoint_url(url)) == url);
    }
}

TEST_CASE("transport: a Unix socket is served, for its user and group, and removed at the end") {
    const TempDir directory;
    const std::filesystem::path path = directory / "karma.sock";
    {
        const TransportServing serving({over_unix(path)});
        CHECK(serving.server->port() == 0);  // --port=0 beside another listener: none
        CHECK(serving.server->addresses() == std::vector<std::string>{"unix:" + path.string()});
        struct stat status {};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        CHECK((status.st_mode & 0777U) == 0660);
        ClientConnection connection(over_unix(path), nullptr, patience());
        CHECK(ask_over(connection, transport_ping).find("pong") != std::string::npos);
        CHECK(ask_over(connection, transport_increment).find("\"response\":1") != std::string::npos);
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("transport: a Unix socket that a killed daemon left is taken, one in use or another file is not") {
    const TempDir directory;
    const std::filesystem::path path = directory / "karma.sock";
    {
        // What is left of a process that was killed: bound, and nobody there.
        const int file = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.string().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::bind(file, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        ::close(file);
    }
    const TransportServing serving({over_unix(path)});
    net::ServerOptions second = serving.options;
    FakeExecutor executor;
    net::Log log{net::LogLevel::warning};
    CHECK_THROWS_WITH(net::check_serving(second), doctest::Contains("another process listens there"));
    CHECK_THROWS_WITH(net::Server(second, executor, log), doctest::Contains("another process listens there"));
    ClientConnection connection(over_unix(path), nullptr, patience());
    CHECK(ask_over(connection, transport_ping).find("pong") !=
          std::string::npos);  // nothing was taken from it

    const std::filesystem::path other = directory / "precious";
    write_file(other, "data");
    second.listen = {over_unix(other)};
    CHECK_THROWS_WITH(net::Server(second, executor, log), doctest::Contains("there is something else"));
    CHECK(read_file(other) == "data");
    second.listen = {over_unix(directory / std::string(200, 'x'))};
    CHECK_THROWS_WITH(net::Server(second, executor, log), doctest::Contains("longer than 107 bytes"));
    second.listen = {over_unix(directory / "missing" / "karma.sock")};
    CHECK_THROWS_WITH(net::Server(second, executor, log),
                      doctest::Contains("missing/karma.sock: No such file"));
}

TEST_CASE("transport: what took the place of a Unix socket is left alone at the end") {
    const TempDir directory;
    const std::filesystem::path path = directory / "karma.sock";
    {
        const TransportServing serving({over_unix(path)});
        std::filesystem::remove(path);
        write_file(path, "another");
    }
    CHECK(read_file(path) == "another");
}

TEST_CASE("transport: requests and large replies over TLS") {
    const EncryptedServer encrypted;
    const auto connection = encrypted.connect(encrypted.client());
    CHECK(ask_over(*connection, transport_ping).find("pong") != std::string::npos);
    // Thousands in one write, more than the sockets hold.
    constexpr int count = 20'000;
    for (int i = 0; i < count; ++i) {
        connection->queue_line(transport_increment);
    }
    connection->flush();
    bool in_order = true;
    for (int i = 1; i <= count; ++i) {
        const std::string expected = "\"response\":" + std::to_string(i) + ",";
        in_order = in_order && connection->read_line().find(expected) != std::string_view::npos;
    }
    CHECK(in_order);
    // A line of nearly a megabyte, in many records.
    const std::string padded = R"({"v":2,"op":"system.ping","x":")" + std::string(1'000'000, 'x') + "\"}";
    CHECK(ask_over(*connection, padded).find("pong") != std::string::npos);
}

TEST_CASE("transport: the server's certificate has to be for the host, and of an authority that is known") {
    const EncryptedServer encrypted;
    const auto connect = [&](const std::shared_ptr<const TlsContext>& tls, const std::string& host) {
        return why_refused(
            [&] { ClientConnection(over_tls(encrypted.port), tls->connect(host), patience()); });
    };
    CHECK(connect(encrypted.client(), "127.0.0.1").empty());
    CHECK(connect(encrypted.client(), "localhost").empty());
    CHECK(connect(encrypted.client(), "example.org").find("hostname mismatch") != std::string::npos);
    CHECK(connect(encrypted.client(), "127.0.0.2").find("IP address mismatch") != std::string::npos);
    const CertificateAuthority stranger(encrypted.directory.path(), "stranger");
    const auto other = TlsContext::for_client({"", "", stranger.file()});
    CHECK(connect(other, "127.0.0.1").find("certificate was not accepted") != std::string::npos);
}

TEST_CASE("transport: a certificate that is no longer good is refused") {
    const TempDir directory;
    const CertificateAuthority authority(directory.path(), "authority");
    const auto files = authority.issue("server", "", 1'800);  // half an hour ago
    const TransportServing serving({over_tls()}, {files.certificate, files.key, ""});
    const auto client = TlsContext::for_client({"", "", authority.file()});
    const std::string why = why_refused([&] {
        ClientConnection(over_tls(serving.server->port(Transport::tls)), client->connect("localhost"),
                         patience());
    });
    CHECK(why.find("certificate has expired") != std::string::npos);
}

TEST_CASE("transport: where clients need certificates, only those with one of the authority get in") {
    EncryptedServer encrypted(true);
    FakeExecutor& executor = encrypted.serving.executor;
    const auto files = encrypted.authority.issue("client");
    const auto known = TlsContext::for_client({files.certificate, files.key, encrypted.authority.file()});
    const auto connection = encrypted.connect(known);
    CHECK(ask_over(*connection, transport_ping).find("pong") != std::string::npos);
    const CertificateAuthority stranger(encrypted.directory.path(), "stranger");
    const auto others = stranger.issue("other-client");
    const auto strange = TlsContext::for_client({others.certificate, others.key, encrypted.authority.file()});
    for (const auto& tls : {encrypted.client(), strange}) {
        // In TLS 1.3 the client learns of it with its first answer.
        const std::string why = why_refused([&] {
            const auto refused = encrypted.connect(tls);
            ask_over(*refused, transport_increment);
        });
        CHECK_FALSE(why.empty());
    }
    CHECK(executor.events() == 0);
    CHECK(comes_true([&] { return executor.stats().failed_handshakes.load() == 2; }));
}

TEST_CASE("transport: who does not speak TLS is closed, and the server goes on") {
    const EncryptedServer encrypted;
    for (const std::string_view text : {"{\"v\":2,\"op\":\"system.ping\"}\n", "GET / HTTP/1.1\r\n\r\n",
                                        "\x16\x03\x01\x00\x05junk!", "\x80\x80\x01\x03\x01"}) {
        Client client(encrypted.port);
        client.send(text);
        client.finish_sending();
        // A TLS alert at most, and the end.
        std::string answer;
        CHECK_THROWS_AS(answer = client.receive_line(), ConnectionClosed);
    }
    const auto connection = encrypted.connect(encrypted.client());
    CHECK(ask_over(*connection, transport_ping).find("pong") != std::string::npos);
}

TEST_CASE("transport: a client that begins no handshake, or does not end it, is closed in time") {
    const EncryptedServer encrypted(false, std::chrono::milliseconds(200));
    Client silent(encrypted.port);
    CHECK(silent.closed_by_server());
    Client half(encrypted.port);
    half.send(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
    CHECK(half.closed_by_server());
    // Who has ended it may be silent for as long as it likes.
    const auto idle = encrypted.connect(encrypted.client());
    std::this_thread::sleep_for(std::chrono::milliseconds(600));
    CHECK(ask_over(*idle, transport_ping).find("pong") != std::string::npos);
}

TEST_CASE("transport: connections go on with their certificates while those of the files change") {
    const EncryptedServer encrypted;
    const auto before = encrypted.connect(encrypted.client());
    CHECK(ask_over(*before, transport_ping).find("pong") != std::string::npos);
    // A new authority signs a certificate in the same files.
    const CertificateAuthority successor(encrypted.directory.path(), "successor");
    const auto files = successor.issue("next");
    std::filesystem::rename(files.certificate, encrypted.files.certificate);
    std::filesystem::rename(files.key, encrypted.files.key);
    encrypted.serving.server->reload_certificates(encrypted.serving.options.tls);
    CHECK(ask_over(*before, transport_ping).find("pong") != std::string::npos);
    CHECK_FALSE(why_refused([&] { encrypted.connect(encrypted.client()); }).empty());
    const auto next = TlsContext::for_client({"", "", successor.file()});
    const auto after = encrypted.connect(next);
    CHECK(ask_over(*after, transport_ping).find("pong") != std::string::npos);
    // Damaged files change nothing.
    write_file(encrypted.files.key, "no key");
    CHECK_THROWS_WITH_AS(encrypted.serving.server->reload_certificates(encrypted.serving.options.tls),
                         doctest::Contains(encrypted.files.key.c_str()), net::TlsError);
    CHECK(ask_over(*encrypted.connect(next), transport_ping).find("pong") != std::string::npos);
}

TEST_CASE("transport: files that are no certificates are refused by name") {
    const TempDir directory;
    const CertificateAuthority authority(directory.path(), "authority");
    const auto files = authority.issue("server");
    const auto others = authority.issue("other");
    const std::string junk = directory / "junk.pem";
    write_file(junk, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const auto refusal = [](const net::TlsFiles& wrong) {
        try {
            TlsContext::for_server(wrong);
        } catch (const net::TlsError& failure) {
            return std::string(failure.what());
        }
        return std::string();
    };
    CHECK(refusal({files.certificate, files.key, authority.file()}).empty());
    CHECK(refusal({"", files.key, ""}).find("holds no certificate") != std::string::npos);
    CHECK(refusal({junk, files.key, ""}).find(junk + " holds no certificate") == 0);
    CHECK(refusal({files.certificate, junk, ""}).find(junk + " holds no private key") == 0);
    CHECK(refusal({files.certificate, others.key, ""}).find(others.key + " is not the key of") == 0);
    CHECK(refusal({files.certificate, files.key, junk}).find(junk + " holds no certificates") == 0);
    CHECK(refusal({files.certificate, files.key, directory / "missing"}).find("missing") !=
          std::string::npos);
}

TEST_CASE("transport: a client that is cut off in the middle of a request leaves nothing behind") {
    EncryptedServer encrypted;
    {
        std::string received;
        const auto connection = encrypted.connect(encrypted.client());
        CHECK(ask_over(*connection, transport_increment).find("\"response\":1") != std::string::npos);
        // A last line without its end counts where the client has ended with it, and not where it was cut
        // off.
        net::ByteStream stream = connection->release(received);
        REQUIRE(stream.write(transport_increment).state == net::IoState::done);
        ::shutdown(stream.file(), SHUT_RDWR);
    }
    const auto connection = encrypted.connect(encrypted.client());
    CHECK(ask_over(*connection, transport_increment).find("\"response\":2") != std::string::npos);
    {
        std::string received;
        const auto ended = encrypted.connect(encrypted.client());
        net::ByteStream stream = ended->release(received);
        REQUIRE(stream.write(transport_increment).state == net::IoState::done);
        stream.end_writing();
        CHECK(encrypted.serving.executor.wait_for_events(3, patience()));
    }
}

TEST_CASE("transport: replies over TLS to a client that takes them late") {
    const EncryptedServer encrypted;
    const auto connection = encrypted.connect(encrypted.client());
    std::string received;
    net::ByteStream stream = connection->release(received);
    std::string requests;
    constexpr std::size_t count = 60'000;
    for (std::size_t i = 0; i < count; ++i) {
        requests += std::string(transport_ping) + "\n";
    }
    std::string answers;
    std::vector<char> room(4'096);
    std::string_view rest = requests;
    std::size_t lines = 0;
    bool is_open = true;
    // It sends as long as it can, and takes a little now and then.
    CHECK(comes_true([&] {
        while (!rest.empty()) {
            const net::IoResult sent = stream.write(rest.substr(0, 20'000));
            rest.remove_prefix(sent.size);
            if (sent.state != net::IoState::done) break;
        }
        for (int i = 0; i < 50; ++i) {
            const net::IoResult got = stream.read(room);
            lines += static_cast<std::size_t>(
                std::count(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(got.size), '\n'));
            is_open = is_open && (got.state == net::IoState::done || got.state == net::IoState::would_block);
        }
        return lines == count || !is_open;
    }));
    CHECK(is_open);
    CHECK(lines == count);
}

}  // namespace karma::test
