#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "tests/support/client.h"
#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"

namespace karma::test {

// The arguments of a daemon that follows the one on this port.
inline std::vector<std::string> slave_of(std::uint16_t port, std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--role=slave", "--replication-source-host=127.0.0.1",
                             "--replication-source-port=" + std::to_string(port), "--query-timeout-ms=0"});
    return more;
}

inline std::uint64_t last_lsn(Client& client) {
    return as_number(member(client.call("replication.status"), "wal_current_lsn"));
}

inline std::string status_text(const Daemon& daemon, const char* name) {
    Client client = daemon.connect();
    const json::value value = member(client.call("replication.status"), name);
    return value.is_string() ? std::string(value.get_string()) : json::serialize(value);
}

// Whether it gets events as they happen.
inline bool streams(const Daemon& slave) { return status_text(slave, "replication_state") == "streaming"; }

inline std::string health(const Daemon& daemon) {
    Client client = daemon.connect();
    return std::string(member(client.call("system.health"), "status").as_string());
}

// Waits until the second one, which follows the first, has all that it has. Nobody writes meanwhile.
inline bool catches_up(const Daemon& leading, const Daemon& following) {
    Client of_leading = leading.connect();
    const std::uint64_t lsn = last_lsn(of_leading);
    return comes_true([&] {
        Client of_following = following.connect();
        return last_lsn(of_following) == lsn;
    });
}

// The digest of what is stored, which is compared with the live state.
inline std::string digest(const Daemon& daemon) {
    Client client = daemon.connect();
    return std::string(member(client.call("snapshot.verify"), "digest").as_string());
}

// A client that adds to counters under idempotency keys, and sends again what was not acknowledged, to
// whichever daemon it is told. Ends when it is told to.
class SteadyWriter {
public:
    SteadyWriter(std::uint16_t port, std::string name) : port_(port), name_(std::move(name)) {
        thread_ = std::thread([this] { run(); });
    }
    ~SteadyWriter() { finish(); }
    SteadyWriter(const SteadyWriter&) = delete;
    SteadyWriter& operator=(const SteadyWriter&) = delete;

    // What was acknowledged is on this daemon, once.
    void finish() {
        stopping_ = true;
        if (thread_.joinable()) thread_.join();
    }
    void write_to(std::uint16_t port) { port_ = port; }
    std::uint64_t acknowledged() const { return acknowledged_; }
    std::uint64_t repeats() const { return repeats_; }

private:
    void run() {
        std::uint64_t next = 0;
        while (!stopping_) {
            try {
                Client client(port_);
                while (!stopping_) {
                    const json::value reply =
                        client.ask("counter.increment", {{"series", name_},
                                                         {"key", next % 100},
                                                         {"bucket", 20260505},
                                                         {"idempotency_key", name_ + std::to_string(next)}});
                    if (member(reply, "success") != json::value(true)) {
                        std::this_thread::sleep_for(std::chrono::milliseconds(5));
                        break;  // it is no master now; or not replicated in time: sent again
                    }
                    repeats_ += member(reply, "idempotent").as_bool() ? 1 : 0;
                    acknowledged_ = ++next;
                }
            } catch (const std::exception&) {  // the daemon was killed: again, from where it was
                std::this_thread::sleep_for(std::chrono::milliseconds(2));
            }
        }
    }

    std::atomic<std::uint16_t> port_;
    const std::string name_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint64_t> acknowledged_{0};
    std::atomic<std::uint64_t> repeats_{0};
    std::thread thread_;
};

// The sum of a writer's counters.
inline std::uint64_t written_by(Client& client, const std::string& name) {
    return as_number(member(client.call("tree.summary", {{"series", name}}), "total"));
}

// Two daemons of which one follows the other, and a writer whose every acknowledged write both have: masters
// are killed, and slaves take their place.
class MastersInTurn {
public:
    const Daemon& master() const { return *master_; }
    Daemon& slave() { return *slave_; }
    SteadyWriter& writer() { return writer_; }

    // Waits until the slave has everything and more was written, and kills the master.
    void kill_master(std::mt19937_64& random) {
        REQUIRE(comes_true([&] { return streams(*slave_); }));
        const std::uint64_t before = writer_.acknowledged();
        REQUIRE(comes_true([&] { return writer_.acknowledged() > before + random_between(random, 0, 50); }));
        master_->kill_hard();
    }

    // The slave has been promoted: the one that was master follows it.
    void change_places() {
        writer_.write_to(slave_->port());
        std::vector<std::string> more = acks;
        more.push_back("--replication-discard-diverged=change-" + std::to_string(++changes_));
        master_->set_arguments(slave_of(slave_->port(), std::move(more)));
        master_->start();
        std::swap(master_, slave_);
    }

    // Ends the writer: both are equal, and hold what was acknowledged, once.
    void check_end() {
        REQUIRE(comes_true([&] { return streams(*slave_); }));
        writer_.finish();
        REQUIRE(catches_up(*master_, *slave_));
        CHECK(digest(*master_) == digest(*slave_));
        Client client = master_->connect();
        const std::uint64_t found = written_by(client, "w");
        CHECK(found >= writer_.acknowledged());
        CHECK(found <= writer_.acknowledged() + 1);  // the last one may be on its way
    }

private:
    inline static const std::vector<std::string> acks{"--replication-min-acks=1",
                                                      "--replication-ack-timeout-ms=20000"};

    Daemon one_{acks};
    Daemon two_{slave_of(one_.port(), acks)};
    Daemon* master_ = &one_;
    Daemon* slave_ = &two_;
    std::size_t changes_ = 0;
    SteadyWriter writer_{one_.port(), "w"};
};

}  // namespace karma::test
