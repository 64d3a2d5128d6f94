// What clients together can take of the daemon: connections and memory.
#include <algorithm>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "net/budget.h"
#include "net/line_buffer.h"
#include "net/log.h"
#include "net/machine.h"
#include "net/reply_writer.h"
#include "net/server.h"
#include "tests/net/fake_executor.h"
#include "tests/support/client.h"
#include "tests/support/comes_true.h"

namespace karma::test {

namespace {

constexpr const char* budget_ping = R"({"v":2,"op":"system.ping"})";

std::string error_code_of(Client& client) {
    return std::string(client.receive().as_object().at("error_code").as_string());
}

class NoMemory final : public reply::ByteSource {
public:
    void read(std::uint64_t, std::size_t, std::string&) const override { throw std::bad_alloc(); }
};

}  // namespace

TEST_CASE("budgets: shares together take no more than there is") {
    net::Budget budget(10);
    net::Share one(&budget);
    CHECK(one.resize(6));
    {
        net::Share other(&budget);
        CHECK_FALSE(other.resize(5));
        CHECK(other.resize(4));
        CHECK_FALSE(one.resize(7));
    }
    CHECK_FALSE(one.resize(9, 2));
    CHECK(one.resize(8, 2));
    CHECK(one.resize(1));
    CHECK(budget.used() == 1);
}

TEST_CASE("budgets: input beyond a small buffer is of a memory that all share") {
    net::Budget memory(512 * 1024);
    constexpr std::size_t line_max = 1 << 20;
    const auto fill = [](net::LineBuffer& buffer, bool is_known) {
        std::size_t taken = 0;
        for (auto room = buffer.room(is_known); !room.empty(); room = buffer.room(is_known)) {
            std::ranges::fill(room, 'x');
            buffer.add(room.size());
            taken += room.size();
        }
        return taken;
    };
    net::LineBuffer stranger(line_max, &memory);
    CHECK(fill(stranger, false) <= 128 * 1024);
    CHECK(memory.used() <= 128 * 1024);
    {
        net::LineBuffer known(line_max, &memory);
        CHECK(fill(known, true) >= 256 * 1024);
        CHECK(memory.used() <= 512 * 1024);
    }
    CHECK(memory.used() <= 128 * 1024);
}

TEST_CASE("budgets: beyond the most connections there is room for an administrator, and for no other") {
    FakeExecutor executor;
    net::Log log{net::LogLevel::warning};
    net::ServerOptions options;
    options.address = "127.0.0.1";
    options.port = 0;
    options.connections_max = 3;
    net::Server server(options, executor, log);
    server.start();
    std::vector<Client> idle;
    for (int i = 0; i < 3; ++i) {
        idle.emplace_back(server.port()).send_line(budget_ping);
        idle.back().receive_line();
    }
    std::vector<Client> brief;
    for (std::size_t i = 0; i < net::administrator_connections; ++i) {
        brief.emplace_back(server.port()).send_line(budget_ping);
        CHECK(boost::json::serialize(brief.back().receive().as_object().at("response")) == "\"pong\"");
    }
    Client refused(server.port());
    CHECK(error_code_of(refused) == "resource_exhausted");
    CHECK(refused.closed_by_server());
    for (Client& client : brief) {
        CHECK(client.closed_by_server());  // idle, and others need the place
    }
    Client administrator(server.port());
    administrator.send_line(budget_ping);
    administrator.receive_line();
    idle.front().send_line(budget_ping);
    idle.front().receive_line();
    idle.pop_back();
    const bool has_place = comes_true([&] {
        Client next(server.port());
        next.send_line(budget_ping);
        return next.receive().as_object().at("success").as_bool();
    });
    CHECK(has_place);
}

TEST_CASE("budgets: a reply for which there is no memory is an error, and nothing else") {
    std::string line = "before";
    const reply::FileBytes file{reply::ExportFile{"f"}, std::make_shared<NoMemory>(), 10, 0, 10};
    CHECK(net::ReplyWriter(0).write(file, Deduplication::no_key, NoDeadline(), line) ==
          ErrorCode::internal_error);
    CHECK(line.starts_with("before{"));
    CHECK(line.ends_with("\"error_code\":\"internal_error\"}\r\n"));
}

TEST_CASE("budgets: open files are shared out so that storage has its part") {
    for (const std::size_t limit : {64UL, 200UL, 1024UL, 20'000UL, 1'000'000UL}) {
        const std::size_t connections = net::connection_files(limit, 20, 64);
        CHECK(connections >= 4);
        const std::size_t followers = net::follower_places(limit, 64);
        CHECK(followers >= 1);
        CHECK(connections + followers * 2 + net::storage_files(limit) + net::administrator_connections + 10 <=
              limit);
    }
    CHECK(net::follower_places(1024, 64) == 64);
    CHECK(net::follower_places(1'000'000, 3) == 3);
}

}  // namespace karma::test
