// Karma 1.0 on the other side: a slave follows one, and one follows a daemon.
#include <chrono>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include "net/base64.h"
#include "persist/karma1/tree_reader.h"
#include "tests/program/counter.h"
#include "tests/program/karma1_proxy.h"
#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

constexpr std::size_t writes_a_round = 60;
const std::string shared_token = "the-token-of-this-test";

/// A client that shows its token.
class Visitor {
public:
    explicit Visitor(const Daemon& daemon) : client_(daemon.connect()) {}

    json::value ask(std::string_view op, json::object fields = {}) {
        fields["token"] = shared_token;
        return client_.ask(op, fields);
    }
    json::value call(std::string_view op, const json::object& fields = {}) {
        const json::value reply = ask(op, fields);
        if (member(reply, "success") != json::value(true)) {
            throw std::runtime_error(std::string(op) + ": " + json::serialize(reply));
        }
        return member(reply, "response");
    }
    std::uint64_t sum(const std::string& series, std::uint64_t key) {
        return as_number(call("counter.sum", {{"series", series}, {"key", key}}));
    }
    std::string digest() { return std::string(member(call("snapshot.verify"), "digest").as_string()); }
    std::uint64_t lsn() { return as_number(member(call("replication.status"), "wal_current_lsn")); }

private:
    Client client_;
};

std::vector<std::string> with_token(std::vector<std::string> arguments) {
    arguments.push_back("--auth-token=" + shared_token);
    arguments.emplace_back("--max-request-bytes=65536");
    return arguments;
}

std::vector<std::string> slave_of(std::uint16_t port, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = with_token(
        {"--role=slave", "--replication-source-host=127.0.0.1",
         "--replication-source-port=" + std::to_string(port), "--replication-token=" + shared_token,
         "--replication-poll-interval-ms=20", "--replication-batch-size=7"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

/// Until it has what the other one has.
void catch_up(Visitor& slave, Visitor& master) {
    const std::uint64_t lsn = master.lsn();
    const bool has_all = comes_true([&] { return slave.lsn() == lsn; });
    CAPTURE(json::serialize(slave.call("replication.status")));
    REQUIRE(has_all);
}

json::object keyed(json::object fields, const std::string& key) {
    fields["idempotency_key"] = key;
    return fields;
}

json::object chunk(const std::string& stream, std::uint64_t seq, const std::string& series,
                   std::uint64_t value) {
    return {{"stream_id", stream},
            {"series", series},
            {"chunk_seq", seq},
            {"items", json::array{json::array{1, some_bucket, value}, json::array{2, some_bucket, value}}}};
}

/// What snapshots hold.
void fill_before(Visitor& master) {
    json::array items;
    for (std::uint64_t key = 0; key < 300; ++key) {
        items.push_back(json::array{key, some_bucket + static_cast<std::uint32_t>(key % 20), key * key + 1});
    }
    master.call("series.batch_add", {{"series", "links"}, {"items", std::move(items)}});
    master.call("counter.increment", counter("a/b 100%", 1, 18446744073709551615U));
    master.call("counter.increment", keyed(counter("links", 7, 3), "before"));
    master.call("tree.create", {{"series", "empty"}});
    master.call("counter.increment", counter("dropped", 1, 1));
    master.call("recovery.checkpoint", {{"source", "kafka"}, {"offset", 12}});
    master.call("ingest.begin", {{"stream_id", "done"}, {"mode", "add"}});
    master.call("ingest.chunk", chunk("done", 1, "links", 1000));
    master.call("ingest.commit", {{"stream_id", "done"}});
}

/// What comes after the snapshot of everything.
void fill_after(Visitor& master) {
    master.call("counter.increment", keyed(counter("links", 7, 4), "after"));
    master.call("tree.drop", {{"series", "dropped"}});
    master.call("ingest.begin", {{"stream_id", "open"}, {"mode", "replace_series"}, {"granularity", "day"}});
    master.call("ingest.chunk", chunk("open", 1, "made", 5));
    master.call("snapshot.create", {{"series", "links"}});
    master.call("counter.decrement", counter("links", 8, 2));
    master.call("counter.batch_reset",
                keyed({{"series", "links"}, {"keys", json::array{1, 2, 9'999}}}, "reset"));
}

void check_same(Visitor& slave, Visitor& master) {
    const json::value names = master.call("tree.list");
    CHECK(slave.call("tree.list") == names);
    for (const json::value& name : names.as_array()) {
        const json::object series = {{"series", name}};
        CHECK(slave.call("tree.summary", series) == master.call("tree.summary", series));
    }
    CHECK(slave.sum("links", 7) == master.sum("links", 7));
    CHECK(slave.call("recovery.status") == master.call("recovery.status"));
    CHECK(slave.digest() == master.digest());
}

void check_knows_requests(Visitor& master) {
    for (const auto& [key, value] : std::map<std::string, std::uint64_t>{{"before", 3}, {"after", 4}}) {
        const json::value again = master.ask("counter.increment", keyed(counter("links", 7, value), key));
        CHECK(member(again, "idempotent") == json::value(true));
        CHECK(member(again, "response") == json::value(value));
    }
    const json::value reset = master.ask(
        "counter.batch_reset", keyed({{"series", "links"}, {"keys", json::array{1, 2, 9'999}}}, "reset"));
    CHECK(member(reset, "response") == parse_json(R"({"reset":2,"missing":1})"));
    const json::value done = master.call("ingest.begin", {{"stream_id", "done"}, {"mode", "add"}});
    CHECK(member(done, "status") == json::value("already_committed"));
    const json::value repeated = master.call("ingest.chunk", chunk("open", 1, "made", 5));
    CHECK(member(repeated, "skipped") == json::value(true));
}

/// A master that holds one counter, and that followers of its proxy take for a Karma 1.0.
struct PosingMaster {
    Daemon daemon{with_token({})};
    Visitor visitor{daemon};
    Karma1Proxy proxy{daemon.port()};

    PosingMaster() { visitor.call("counter.increment", counter("a", 1, 5)); }
};

}  // namespace

TEST_CASE("karma 1.0 master: a slave takes its snapshots and then its events") {
    Daemon master(with_token({}));
    Visitor there(master);
    fill_before(there);
    there.call("snapshot.create_all");
    fill_after(there);
    const Karma1Proxy proxy(master.port());
    Daemon slave(slave_of(proxy.port()));
    Visitor here(slave);
    catch_up(here, there);
    CHECK(proxy.subscriptions() >= 1);
    check_same(here, there);
    const json::value status = here.call("replication.status");
    CHECK(member(status, "replication_bootstrap_success_count") == json::value(1));
    CHECK(member(here.ask("counter.increment", counter("links", 1, 1)), "error_code") ==
          json::value("forbidden"));

    // What comes later arrives, and after a restart as well.
    there.call("counter.increment", counter("links", 7, 100));
    there.call("ingest.chunk", chunk("open", 2, "made", 6));
    catch_up(here, there);
    check_same(here, there);
    slave.restart_after_kill();
    there.call("counter.increment", counter("late", 1, 1));
    Visitor again(slave);
    catch_up(again, there);
    check_same(again, there);

    // It becomes a master that goes on.
    again.call("replication.promote");
    check_knows_requests(again);
    again.call("ingest.commit", {{"stream_id", "open"}});
    CHECK(again.sum("made", 1) == 6);
    again.call("counter.increment", counter("late", 1, 1));
    CHECK(again.sum("late", 1) == 2);
}

namespace {

/// Writes at random, with snapshots in between. Streams are not committed: the log does not say when.
class RandomWriter {
public:
    explicit RandomWriter(const Daemon& master) : master_(master), engine_(random_engine("karma 1.0")) {}

    void write(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            write_one();
        }
    }

private:
    std::uint64_t random(std::uint64_t low, std::uint64_t high) { return random_between(engine_, low, high); }

    /// May be refused: what is dropped may not be there.
    void write_one() {
        const std::string series = "s" + std::to_string(random(0, 4));
        const json::object some = counter(series, random(0, 9), random(1, 100));
        switch (random(0, 14)) {
            case 0: master_.ask("tree.drop", {{"series", series}}); break;
            case 1: master_.ask("snapshot.create", {{"series", series}}); break;
            case 2:
                if (random(0, 3) == 0) master_.ask("snapshot.create_all");
                break;
            case 3: master_.ask("counter.decrement", some); break;
            case 4: master_.ask("counter.reset", some); break;
            case 5: master_.ask("system.compact"); break;
            case 6: master_.ask("counter.increment", keyed(some, std::to_string(random(0, 20)))); break;
            case 7: begin_stream(series); break;
            case 8:
                master_.ask("ingest.abort", {{"stream_id", stream_}});
                chunks_ = 0;
                break;
            case 9:
            case 10:
                master_.ask("ingest.chunk", chunk(stream_, ++chunks_, stream_series_, random(1, 9)));
                break;
            default: master_.ask("counter.increment", some); break;
        }
    }

    void begin_stream(const std::string& series) {
        const std::vector<std::string> modes = {"add", "set", "replace_series"};
        stream_ = "stream" + std::to_string(++streams_);
        stream_series_ = series;
        chunks_ = 0;
        master_.ask("ingest.begin", {{"stream_id", stream_}, {"mode", modes.at(random(0, 2))}});
    }

    Visitor master_;
    std::mt19937_64 engine_;
    std::string stream_;
    std::string stream_series_;
    std::uint64_t streams_ = 0;
    std::uint64_t chunks_ = 0;
};

}  // namespace

TEST_CASE("karma 1.0 master: whenever a slave begins, it comes to the same state") {
    Daemon master(with_token({}));
    Visitor there(master);
    const Karma1Proxy proxy(master.port());
    RandomWriter writer(master);
    for (std::size_t round = 0; round < scaled(6); ++round) {
        writer.write(writes_a_round);
        Daemon slave(slave_of(proxy.port()));
        writer.write(writes_a_round);
        Visitor here(slave);
        catch_up(here, there);
        CHECK(here.call("tree.list") == there.call("tree.list"));
        CHECK(here.digest() == there.digest());
    }
}

TEST_CASE("karma 1.0 master: without snapshots its whole log is followed") {
    PosingMaster master;
    Daemon slave(slave_of(master.proxy.port()));
    Visitor here(slave);
    catch_up(here, master.visitor);
    CHECK(here.sum("a", 1) == 5);
    for (std::uint64_t i = 0; i < 40; ++i) {
        master.visitor.call("counter.increment", counter("a", i, 1));
    }
    catch_up(here, master.visitor);
    CHECK(here.digest() == master.visitor.digest());
}

TEST_CASE("karma 1.0 master: a slave ends while its master is silent, and goes on with it later") {
    PosingMaster master;
    Daemon slave(slave_of(master.proxy.port(), {"--replication-timeout-ms=3600000"}));
    {
        Visitor here(slave);
        catch_up(here, master.visitor);
    }
    master.proxy.set_silent(true);
    CHECK(slave.stop() == ExitStatus{0, 0});  // does not wait for that hour
    master.proxy.set_silent(false);
    master.visitor.call("counter.increment", counter("a", 1, 6));
    slave.start();
    Visitor here(slave);
    catch_up(here, master.visitor);
    CHECK(here.sum("a", 1) == 11);
}

TEST_CASE("karma 1.0 master: a slave takes its place when it is gone") {
    PosingMaster master;
    Daemon slave(slave_of(master.proxy.port(), {"--failover-timeout-ms=2000", "--failover-unsafe=true"}));
    Visitor here(slave);
    catch_up(here, master.visitor);
    // In sync for longer than a poll takes.
    const auto polls = [&] {
        return as_number(member(here.call("replication.status"), "replication_poll_success_count"));
    };
    const std::uint64_t before = polls();
    REQUIRE(comes_true([&] { return polls() > before + 3; }));
    master.proxy.set_silent(true);
    CHECK(comes_true([&] { return member(here.call("system.health"), "role") == json::value("master"); }));
    here.call("counter.increment", counter("a", 1, 1));
    CHECK(here.sum("a", 1) == 6);
}

namespace {

/// Follows a daemon as Karma 1.0.1 does: a connection for each request.
class Karma1Slave {
public:
    explicit Karma1Slave(const Daemon& master) : master_(master) {}

    void bootstrap() {
        const json::value info = ask("snapshot.info");
        for (const json::value& tree : member(info, "latest_by_tree").as_array()) {
            const std::string file(member(tree, "file").as_string());
            CHECK(file.ends_with(".tree"));
            const std::string bytes = fetch("snapshot.fetch_chunk", {{"file", file}});
            CHECK(bytes.size() == as_number(member(tree, "bytes")));
            take_tree(std::string(member(tree, "tree").as_string()), bytes);
        }
        CHECK_FALSE(member(info, "idempotency_snapshot").is_null());
        records_ = parse_json(fetch("idempotency.snapshot_fetch_chunk", {}));
        lsn_ = as_number(member(info, "last_snapshot_lsn"));
    }

    void poll() {
        while (true) {
            const json::value page = ask("replication.entries", {{"after_lsn", lsn_}, {"limit", 2}});
            for (const json::value& one : member(page, "entries").as_array()) {
                CHECK(as_number(member(one, "lsn")) == ++lsn_);
                take_entry(member(one, "entry"));
            }
            if (lsn_ == as_number(member(page, "source_lsn"))) return;
            REQUIRE(as_number(member(page, "count")) > 0);
        }
    }

    const std::map<std::string, std::map<std::uint64_t, std::uint64_t>>& sums() const { return sums_; }
    const json::value& records() const { return records_; }

private:
    json::value ask(std::string_view op, const json::object& fields = {}) const {
        return Visitor(master_).call(op, fields);
    }

    std::string fetch(std::string_view op, const json::object& fields) const {
        std::string bytes;
        while (true) {
            json::object asked = fields;
            asked["offset"] = bytes.size();
            asked["limit"] = 100;
            const json::value part = ask(op, asked);
            const auto decoded = net::decode_base64(member(part, "data_base64").as_string());
            REQUIRE(decoded);
            bytes += *decoded;
            CHECK(as_number(member(part, "bytes")) == decoded->size());
            if (member(part, "done") == json::value(true)) return bytes;
            CHECK(as_number(member(part, "next_offset")) == bytes.size());
        }
    }

    void take_tree(const std::string& series, const std::string& bytes) {
        read_tree(bytes, [&](std::uint64_t key, std::span<const karma::Point> points) {
            std::uint64_t& sum = sums_[series][key];
            for (const karma::Point& point : points) sum += point.value;
        });
    }

    void take_entry(const json::value& entry) {
        CHECK(member(entry, "v") == json::value(2));
        const std::string op(member(entry, "op").as_string());
        std::map<std::uint64_t, std::uint64_t>& series =
            sums_[std::string(member(entry, "series").as_string())];
        if (op == "counter.increment") {
            CHECK(as_number(member(entry, "bucket")) == some_bucket);
            series[as_number(member(entry, "key"))] += as_number(member(entry, "value"));
        } else if (op == "counter.reset") {
            series[as_number(member(entry, "key"))] = 0;
        } else {
            REQUIRE(op == "series.batch_add");
            for (const json::value& item : member(entry, "items").as_array()) {
                series[as_number(item.as_array().at(0))] += as_number(item.as_array().at(2));
            }
        }
    }

    const Daemon& master_;
    std::map<std::string, std::map<std::uint64_t, std::uint64_t>> sums_;
    json::value records_;
    std::uint64_t lsn_ = 0;
};

}  // namespace

TEST_CASE("karma 1.0 slave: follows a daemon from its snapshots") {
    const Daemon master(with_token({}));
    Visitor there(master);
    fill_before(there);
    there.call("snapshot.create_all");
    there.call("counter.increment", keyed(counter("links", 7, 4), "after"));
    Karma1Slave slave(master);
    slave.bootstrap();
    CHECK(member(slave.records(), "records").as_array().size() == 1);
    CHECK(member(slave.records(), "committed_streams").as_array().size() == 1);
    slave.poll();
    there.call("series.batch_add",
               {{"series", "later"},
                {"items", json::array{json::array{1, some_bucket, 2}, json::array{2, some_bucket, 3}}}});
    there.call("counter.reset", {{"series", "links"}, {"key", 9}});
    there.call("counter.increment", counter("links", 7, 1));
    slave.poll();
    std::size_t compared = 0;
    for (const auto& [series, keys] : slave.sums()) {
        for (const auto& [key, sum] : keys) {
            CHECK(there.sum(series, key) == sum);
            ++compared;
        }
        CHECK(as_number(member(there.call("tree.info", {{"series", series}}), "key_count")) == keys.size());
    }
    CHECK(compared == 304);
    // An empty series has a file as well; nothing comes of it here.
    CHECK(there.call("tree.list").as_array().size() == slave.sums().size() + 1);
}

}  // namespace karma::test
