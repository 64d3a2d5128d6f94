// Clients that mean harm, or are broken: none of them gets more than an error, the daemon's memory stays
// bounded, and who behaves is served throughout.
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/program/bystander.h"
#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/open_files.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20U;

// Patient with who is silent: it is the limits of memory that are tested.
std::vector<std::string> patient(std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--read-timeout=600", "--write-timeout=600"});
    return more;
}

std::size_t mebibytes(std::size_t bytes) { return bytes / mebibyte; }

// What memory may grow by: sanitizers keep what is freed for some time.
std::size_t growth_allowed(std::size_t bytes) { return bytes * (sanitized() ? 8 : 1); }

std::string error_code(const json::value& reply) {
    const json::value& code = member(reply, "error_code");
    return code.is_string() ? std::string(code.get_string()) : std::string();
}

// The error of a line; a reply has to be an object of JSON, whatever was asked.
std::string error_of_line(Client& client, const std::string& line) {
    return error_code(client.ask_line(line));
}

// An increment with one field as it is written here.
std::string increment_with(const std::string& field, const std::string& value) {
    std::string line = R"({"v":2,"op":"counter.increment")";
    for (const auto& [name, usual] : {std::pair<std::string, std::string>{"series", "\"a\""},
                                      {"key", "1"},
                                      {"bucket", "20260505"},
                                      {"value", "1"}}) {
        line += ",\"" + name + "\":" + (name == field ? value : usual);
    }
    return line + "}";
}

// Lines that are refused, or none of a daemon's, with a token in the place of each @.
constexpr std::string_view lines_with_token[] = {
    R"({"v":2,"op":"system.ping","token":"@",})",
    R"({"v":2,"op":"system.ping","token":"@)",
    R"({"v":2,"op":"system.ping","token":@})",
    R"({"v":2,"op":"system.ping","token":["@"]})",
    R"({"v":2,"op":"system.ping","token":{"@":1}})",
    R"({"v":2,"op":"system.ping","token":"@","token":"other"})",
    R"({"v":2,"op":"system.ping","token":"other","token":"@"})",
    R"({"v":2,"op":"no.such.op","token":"@"})",
    R"({"v":2,"op":5,"token":"@"})",
    R"({"v":"@","op":"system.ping"})",
    R"({"token":"@","v":1,"op":"system.ping"})",
    R"({"v":2,"op":"counter.increment","series":"a","key":"@","token":"@"})",
    R"({"v":2,"op":"counter.increment","series":"a","key":1,"bucket":"@","token":"@"})",
    R"({"v":2,"op":"snapshot.load","file":"none","token":"@"})",
    R"({"v":2,"op":"replication.subscribe","format":99,"name":"n","after_lsn":0,"token":"@"})",
    R"({"v":2,"op":"replication.fence","epoch":0,"epoch_id":0,"token":"@"})",
    "GET /metrics?token=@ HTTP/1.1",
    "AUTH @",
    "\"@\"",
    "[\"@\"]",
    "\xff\"@\"",
    std::string_view("\0\"@\"", 4),
};

std::string replaced(std::string_view text, char place, const std::string& with) {
    std::string result;
    for (const char letter : text) {
        if (letter == place) {
            result += with;
        } else {
            result += letter;
        }
    }
    return result;
}

// Nothing of it is there, also after a crash.
void check_nothing_stored(Daemon& daemon) {
    CHECK(daemon.connect().call("tree.list") == json::value(json::array{"bystander"}));
    daemon.restart_after_kill();
    CHECK(daemon.connect().call("tree.list") == json::value(json::array{"bystander"}));
}

}  // namespace

TEST_CASE("hostile: numbers beyond all limits, and those that are none") {
    Daemon daemon(std::vector<std::string>{"--max-request-bytes=100000"});
    Bystander bystander(daemon);
    Client client = daemon.connect();
    const std::vector<std::string> numbers{
        "1e400",
        "-1e400",
        "1e-400",
        "1" + std::string(400, '0'),
        "0." + std::string(10'000, '3'),
        std::string(50'000, '9'),
        "-" + std::string(50'000, '9'),
        "1e" + std::string(1000, '9'),
        "18446744073709551616",
        "-1",
        "1.5",
        "1.0",
        "1e0",
        "-0.0",
        "00",
        "01",
        "+1",
        "0x10",
        "NaN",
        "Infinity",
        "-Infinity",
        ".5",
        "5.",
        "1e",
        "--1",
    };
    for (const std::string& number : numbers) {
        CAPTURE(number.substr(0, 30));
        for (const std::string field : {"key", "value", "bucket", "series"}) {
            CAPTURE(field);
            const std::string code = error_of_line(client, increment_with(field, number));
            CHECK_MESSAGE((code == "validation_error" || code == "invalid_json"), code);
        }
        for (const std::string& items : {"[[" + number + ",20260505,1]]", "[[1," + number + ",1]]",
                                         "[[1,20260505," + number + "]]", number}) {
            const std::string code = error_of_line(
                client, R"({"v":2,"op":"series.batch_add","series":"a","items":)" + items + "}");
            CHECK_MESSAGE((code == "validation_error" || code == "invalid_json"), code);
        }
        // The version, where 2.0 and 2e0 are no 2 either.
        CHECK(!error_of_line(client, R"({"v":)" + number + R"(,"op":"system.ping"})").empty());
    }
    CHECK(bystander.goes_on());
    CHECK(bystander.finish() == "");
    check_nothing_stored(daemon);

    // The greatest of all is one, and so is this way to write nothing.
    client = daemon.connect();
    CHECK(error_of_line(client, increment_with("key", "18446744073709551615")).empty());
    CHECK(error_of_line(client, increment_with("key", "-0")).empty());
    CHECK(error_of_line(client, increment_with("value", "-0")) == "validation_error");
    CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", largest}})) == 1);
    CHECK(as_number(client.call("counter.sum", {{"series", "a"}, {"key", 0}})) == 1);
}

TEST_CASE("hostile: deep nesting, bytes that are no text, fields that come twice") {
    Daemon daemon(std::vector<std::string>{"--max-request-bytes=1000000"});
    Bystander bystander(daemon);
    Client client = daemon.connect();
    const auto refused = [&](const std::string& line) {
        const std::string code = error_of_line(client, line);
        return code == "invalid_json" || code == "validation_error" || code == "unknown_command" ||
               code == "unsupported_protocol";
    };

    for (const std::size_t depth : {30U, 1000U, 400'000U}) {
        CAPTURE(depth);
        const std::string arrays = std::string(depth, '[') + std::string(depth, ']');
        std::string objects;
        for (std::size_t i = 0; i < depth / 3; ++i) objects += "{\"a\":";
        CHECK(refused(std::string(depth, '[')));
        CHECK(refused(arrays));
        CHECK(refused(objects));
        CHECK(refused(objects + "1" + std::string(depth / 3, '}')));
        CHECK(refused(increment_with("key", arrays)));
        CHECK(refused(R"({"v":2,"op":"series.batch_add","series":"a","items":)" + arrays + "}"));
    }

    using namespace std::string_literals;
    const std::vector<std::string> no_text{"\xff\xfe"s, "\xc0\xaf"s,  "\xed\xa0\x80"s, "\xf5\x80\x80\x80"s,
                                           "\xe2\x82"s, "a\x80z"s,    "a\0b"s,         "\0"s,
                                           "\x01"s,     "tab\there"s, "\x7f\xff"s,     "\xf0\x9f\x98"s};
    for (std::size_t i = 0; i < no_text.size(); ++i) {
        CAPTURE(i);
        const std::string& bytes = no_text[i];
        CHECK(refused(bytes));
        CHECK(refused(increment_with("series", '"' + bytes + '"')));
        CHECK(refused(R"({"v":2,"op":")" + bytes + "\"}"));
        CHECK(refused(R"({"v":2,"op":"counter.increment","series":"a","key":1,"idempotency_key":")" + bytes +
                      "\"}"));
        CHECK(refused(R"({"v":2,"op":"system.ping",)" + bytes + "}"));
        CHECK(refused(R"({"v":2,"op":"system.ping"})" + bytes));
    }

    CHECK(bystander.goes_on());
    CHECK(bystander.finish() == "");
    check_nothing_stored(daemon);
}

TEST_CASE("hostile: of a field that comes twice the last one counts, in whichever order and form") {
    const Daemon daemon;
    Client client = daemon.connect();
    struct Twice {
        const char* text;
        std::uint64_t key;
        std::uint64_t value;
    };
    // With white space, and with a field that is not known, others read them.
    for (const std::string& more :
         {std::string(), std::string(" "), std::string(R"("unknown":{"key":9},)")}) {
        CAPTURE(more);
        const std::string series = "s" + std::to_string(more.size());
        for (const Twice& twice :
             {Twice{R"("key":1,"value":5,"key":2)", 2, 5}, Twice{R"("key":3,"value":5,"value":6)", 3, 6},
              Twice{R"("value":1,"key":4,"key":1,"value":7,"key":4)", 4, 7}}) {
            CAPTURE(twice.text);
            std::string line =
                R"({"v":1,"op":"system.ping","v":2,"op":"counter.increment","series":"no","series":")";
            line += series + "\",";
            line += more;
            line += twice.text;
            line += "}";
            CHECK(client.ask_line(line).as_object().at("response") == json::value(twice.value));
            CHECK(as_number(client.call("counter.sum", {{"series", series}, {"key", twice.key}})) ==
                  twice.value);
        }
        CHECK(as_number(member(client.call("tree.summary", {{"series", series}}), "total")) == 18);
    }
    CHECK(client.error_of("tree.info", {{"series", "no"}}) == "not_found");
}

TEST_CASE("hostile: a hundred clients that send a byte at a time are answered, and hold up nobody") {
    const Daemon daemon(patient());
    Bystander bystander(daemon);
    std::vector<Client> clients;
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < scaled(100); ++i) {
        clients.push_back(daemon.connect());
        lines.push_back(request("counter.increment",
                                {{"series", "slow"}, {"key", i}, {"bucket", some_bucket}, {"value", i + 1}}) +
                        "\n");
    }
    std::size_t longest = 0;
    for (const std::string& line : lines) longest = std::max(longest, line.size());
    for (std::size_t byte = 0; byte < longest; ++byte) {
        for (std::size_t i = 0; i < clients.size(); ++i) {
            if (byte < lines[i].size()) clients[i].send(std::string_view(lines[i]).substr(byte, 1));
        }
    }
    for (std::size_t i = 0; i < clients.size(); ++i) {
        REQUIRE(as_number(member(clients[i].receive(), "response")) == i + 1);
    }
    CHECK(bystander.goes_on());
    CHECK(bystander.finish() == "");
}

TEST_CASE("hostile: lines without an end are cut off at --max-request-bytes, and cost no memory") {
    const Daemon daemon(patient({"--max-request-bytes=65536"}));
    Bystander bystander(daemon);
    REQUIRE(bystander.goes_on());
    const std::size_t before = daemon.resident_bytes();
    std::size_t most = before;
    const std::string piece(mebibyte, 'x');
    std::size_t taken = 0;
    for (std::size_t i = 0; i < scaled(20); ++i) {
        Client client = daemon.connect();
        try {
            for (std::size_t sent = 0; sent < 16 * mebibyte; sent += piece.size()) {
                client.send(piece);
                taken += piece.size();
                most = std::max(most, daemon.resident_bytes());
            }
        } catch (const ConnectionClosed&) {  // NOLINT(bugprone-empty-catch): that is what is meant to happen
        }
        try {
            CHECK(error_code(client.receive()) == "request_too_large");
        } catch (const ConnectionClosed&) {
            MESSAGE("the reply was lost with the connection");
        }
    }
    MESSAGE("memory: " << mebibytes(before) << " MiB before, " << mebibytes(most) << " MiB at most; "
                       << mebibytes(taken) << " MiB were sent");
    CHECK(most < before + growth_allowed(32 * mebibyte));
    CHECK(bystander.goes_on());
    CHECK(bystander.finish() == "");
}

TEST_CASE("hostile: ten thousand connections that say nothing, or half a request, and never close") {
    std::size_t count = sanitized() ? 2000 : 10000;
    const std::size_t limit = raise_open_files();
    if (limit < count + 500) {
        MESSAGE("only " << limit << " open files are allowed here");
        REQUIRE(limit > 1000);
        count = limit - 500;
    }
    const Daemon daemon(patient());
    Bystander bystander(daemon);
    REQUIRE(bystander.goes_on());
    const std::size_t before = daemon.resident_bytes();
    std::vector<Client> idle;
    idle.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        idle.push_back(daemon.connect());
        if (i % 2 == 1) idle.back().send(R"({"v":2,"op":"counter.increment","series":"half)");
    }
    // Accepted, all of them.
    for (std::size_t i = 0; i < count; i += 2) idle[i].send_line(request("system.ping"));
    std::size_t answered = 0;
    for (std::size_t i = 0; i < count; i += 2) {
        if (member(idle[i].receive(), "response") == json::value("pong")) ++answered;
    }
    CHECK(answered == (count + 1) / 2);
    const std::size_t now = daemon.resident_bytes();
    MESSAGE(count << " connections: " << mebibytes(before) << " MiB before, " << mebibytes(now)
                  << " MiB with them, " << (now - std::min(now, before)) / count << " bytes each");
    CHECK(now < before + growth_allowed(count * 16 * 1024));
    CHECK(bystander.goes_on());
    CHECK(bystander.finish() == "");
}

TEST_CASE("hostile: clients that ask for much and take nothing cost some megabytes each") {
    const Daemon daemon(patient({"--max-request-bytes=1048576"}));
    {
        json::array items;
        for (int key = 0; key < 10'000; ++key)
            items.push_back(json::array{key, some_bucket, largest / 20'000});
        daemon.connect().call("series.batch_add", {{"series", "wide"}, {"items", items}});
    }
    Bystander bystander(daemon);
    REQUIRE(bystander.goes_on());
    // Short requests with long replies: a read brings thousands of them.
    const std::string line = request("tree.keys", {{"series", "wide"}, {"limit", 10000}}) + "\n";
    {
        Client client = daemon.connect();
        client.send(line);
        const std::size_t size = client.receive_line().size();
        MESSAGE("a request of " << line.size() << " bytes, a reply of " << size / 1024 << " KiB");
        REQUIRE(size > 200 * 1024);
    }
    const std::size_t before = daemon.resident_bytes();
    std::size_t most = before;
    std::string many;
    for (int i = 0; i < 2000; ++i) many += line;
    std::vector<Client> deaf;
    constexpr std::size_t count = 8;
    for (std::size_t i = 0; i < count; ++i) {
        deaf.push_back(daemon.connect());
        deaf.back().send_some(many);
    }
    // Until nothing moves any more: the bystander has been served often, and memory stays as it is.
    std::size_t same = 0;
    for (std::size_t last = 0; same < 50;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        const std::size_t now = daemon.resident_bytes();
        most = std::max(most, now);
        same = now == last ? same + 1 : (now > last + mebibyte ? 0 : same + 1);
        last = now;
    }
    REQUIRE(bystander.goes_on());
    most = std::max(most, daemon.resident_bytes());
    MESSAGE("memory: " << mebibytes(before) << " MiB before, " << mebibytes(most) << " MiB at most with "
                       << count << " clients that take nothing");
    CHECK(most < before + growth_allowed(count * 8 * mebibyte));
    // Who begins to take gets everything, in order.
    for (int i = 0; i < 100; ++i) {
        REQUIRE(contains(deaf.front().receive_line(), R"("success":true)"));
    }
    CHECK(bystander.goes_on());
    CHECK(bystander.finish() == "");
}

TEST_CASE("hostile: floods of errors from several clients") {
    const Daemon daemon;
    Bystander bystander(daemon);
    REQUIRE(bystander.goes_on());
    const std::size_t before = daemon.resident_bytes();
    std::string lines;
    constexpr std::size_t kinds = 5;
    constexpr std::size_t rounds = 100;
    for (std::size_t i = 0; i < rounds; ++i) {
        lines += "no request\n";
        lines += request("no.such.op") + "\n";
        lines += request("counter.sum", {{"series", "missing"}, {"key", 1}}) + "\n";
        lines += request("counter.increment", {{"series", "a"}, {"key", "none"}}) + "\n";
        lines += R"({"v":7})"
                 "\n";
    }
    std::vector<std::thread> floods;
    std::atomic<std::size_t> wrong{0};
    std::atomic<std::size_t> errors{0};
    for (std::size_t i = 0; i < 4; ++i) {
        floods.emplace_back([&] {
            try {
                Client client = daemon.connect();
                for (std::size_t round = 0; round < scaled(60); ++round) {
                    client.send(lines);
                    for (std::size_t line = 0; line < kinds * rounds; ++line) {
                        if (contains(client.receive_line(), R"("success":false)")) ++errors;
                    }
                }
            } catch (const std::exception&) {
                ++wrong;
            }
        });
    }
    const bool served = bystander.goes_on();
    for (std::thread& flood : floods) flood.join();
    CHECK(served);
    CHECK(wrong == 0);
    CHECK(errors == 4 * kinds * rounds * scaled(60));
    const std::size_t after = daemon.resident_bytes();
    MESSAGE(errors.load() << " errors, memory: " << mebibytes(before) << " MiB before, " << mebibytes(after)
                          << " MiB after");
    CHECK(after < before + growth_allowed(32 * mebibyte));
    CHECK(bystander.finish() == "");
}

TEST_CASE("hostile: tokens are in no output, wherever in a line they are") {
    std::mt19937_64 random = random_engine("hostile tokens");
    const std::string right = random_word(random, 32);
    const std::string reading = random_word(random, 32);
    const std::string wrong = random_word(random, 32);
    Daemon daemon(std::vector<std::string>{"--log=true", "--auth-token=" + right,
                                           "--read-auth-token=" + reading, "--replication-token=" + right});
    Bystander bystander(daemon, right);
    std::string output;
    for (const std::string& token : {right, reading, wrong}) {
        for (const std::string_view line : lines_with_token) {
            Client client = daemon.connect();
            client.send_line(replaced(line, '@', token));
            output += client.receive_line() + '\n';
        }
        Client client = daemon.connect();
        for (const char* const op : {"system.metrics", "system.stats", "system.health", "replication.status",
                                     "snapshot.info", "recovery.status", "event.list"}) {
            client.send_line(request(op, {{"token", token}, {"after_lsn", 0}}));
            output += client.receive_line() + '\n';
        }
    }
    CHECK(bystander.goes_on());
    CHECK(bystander.finish() == "");
    CHECK(daemon.stop().code == 0);
    CHECK(output.size() > 1000);
    for (const std::string& token : {right, reading, wrong}) {
        CHECK_FALSE(contains(output, token));
        CHECK_FALSE(contains(daemon.standard_output(), token));
        CHECK_FALSE(contains(daemon.standard_error(), token));
    }
}

}  // namespace karma::test
