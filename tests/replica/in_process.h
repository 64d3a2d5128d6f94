#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "net/log.h"
#include "net/server.h"
#include "persist/database.h"
#include "persist/memory_storage.h"
#include "replica/node.h"
#include "tests/support/client.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

// Says that what two storages hold is one database: what was made twice in the same way is a follower's copy.
inline void make_one_database(const Storage& master, Storage& follower) {
    const RecordChange id{Table::meta, "database_id", master.read(Table::meta, "database_id")};
    follower.write(std::span(&id, 1), true);
}

// A node in this process, with its storage in memory, which outlives it, and a clock that stands still: two
// nodes that do the same make the same events.
class InProcessNode {
public:
    explicit InProcessNode(Storage& storage, const DatabaseOptions& options = {},
                           replica::NodeOptions node_options = {}, std::uint16_t port = 0,
                           const std::function<void(const std::string&)>& log = {},
                           const replica::Environment& environment = replica::machine_environment())
        : log_(log ? net::Log(log) : net::Log(net::LogLevel::warning)),
          database_(open(storage, options)),
          node_(*database_, log_, std::move(node_options), environment) {
        net::ServerOptions server;
        server.address = "127.0.0.1";
        server.port = port;
        server.read_timeout = std::chrono::minutes(1);
        server.query_timeout = patience();
        server_ = std::make_unique<net::Server>(server, *database_, log_, &node_.subscriptions());
        node_.start("node-" + std::to_string(server_->port()), server_->port());
        database_->set_replication(&node_);
        server_->start();
    }
    ~InProcessNode() {
        server_->stop();
        server_->join();
        database_->set_replication(nullptr);
        node_.stop();
    }
    InProcessNode(const InProcessNode&) = delete;
    InProcessNode& operator=(const InProcessNode&) = delete;

    Database& database() { return *database_; }
    replica::Node& node() { return node_; }
    std::uint16_t port() const { return server_->port(); }

private:
    static std::unique_ptr<Database> open(Storage& storage, const DatabaseOptions& given) {
        DatabaseOptions options = given;
        if (!options.clock_ms) options.clock_ms = [] { return std::int64_t{1'780'000'000'000}; };
        return Database::open(options, storage);
    }

    net::Log log_;
    std::unique_ptr<Database> database_;
    replica::Node node_;
    std::unique_ptr<net::Server> server_;
};

// What its health says.
inline std::string health_of(InProcessNode& node) {
    Client client(node.port());
    return std::string(member(client.call("system.health"), "status").as_string());
}

// Promotes it, again where it heard of another promotion meanwhile.
inline reply::Promoted promote_at_last(InProcessNode& node) {
    while (true) {
        try {
            return node.node().promote(true);
        } catch (const RequestError& refused) {
            if (std::string_view(refused.what()).find("try again") == std::string_view::npos) throw;
        }
    }
}

inline DatabaseOptions slave_options() {
    DatabaseOptions options;
    options.read_only = true;
    return options;
}

// Follows the node on this port.
inline replica::NodeOptions following(std::uint16_t port, const TempDir& directory) {
    replica::NodeOptions options;
    options.follower.emplace();
    options.follower->host = "127.0.0.1";
    options.follower->port = port;
    options.follower->directory = directory.path();
    return options;
}

}  // namespace karma::test
