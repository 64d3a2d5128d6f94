// What Karma 1.0.1 gets wrong about snapshots, batches, streams and rejected requests, each by the crash that
// shows it there: none of it may happen here.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/program/counter.h"
#include "tests/program/points.h"
#include "tests/support/daemon.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

json::array item(std::uint64_t key, std::uint64_t value, std::uint32_t in_bucket = some_bucket) {
    return {key, in_bucket, value};
}

json::object with_key(json::object fields, const std::string& idempotency_key) {
    fields["idempotency_key"] = idempotency_key;
    return fields;
}

json::object stream(const std::string& id, const std::string& mode) {
    return {{"stream_id", id}, {"mode", mode}};
}

json::object chunk(const std::string& id, std::uint64_t seq, json::array items,
                   const std::string& series = "a") {
    return {{"stream_id", id}, {"series", series}, {"chunk_seq", seq}, {"items", std::move(items)}};
}

// Whether a request that succeeds was executed before.
bool is_repeat(Client& client, const std::string& op, const json::object& fields) {
    const json::value reply = client.ask(op, fields);
    REQUIRE(member(reply, "success") == json::value(true));
    return member(reply, "idempotent").as_bool();
}

// Of the last event: a request that is rejected, or a repeat, is none.
std::uint64_t last_lsn(Client& client) {
    return as_number(member(client.call("snapshot.info"), "wal_current_lsn"));
}

// How the stream stands: its status, and the number of its last chunk.
json::array standing(Client& client, const std::string& id, const std::string& mode) {
    const json::value reply = client.call("ingest.begin", stream(id, mode));
    return {member(reply, "status"), member(reply, "last_chunk_seq")};
}

bool is_skipped(Client& client, const json::object& fields) {
    return member(client.call("ingest.chunk", fields), "skipped").as_bool();
}

// Checks the state as it is, and after several crashes.
template <typename Check>
void check_over_crashes(Daemon& daemon, Check check) {
    for (int crash = 0; crash < 4; ++crash) {
        CAPTURE(crash);
        if (crash > 0) daemon.restart_after_kill();
        Client client = daemon.connect();
        check(client);
        client.call("snapshot.verify");
    }
}

}  // namespace

TEST_CASE("defect 1: a snapshot of one series, then a crash: nothing counts twice") {
    Daemon daemon;
    {
        Client client = daemon.connect();
        for (int i = 0; i < 10; ++i) {
            client.call("counter.increment", counter("a", 1, 5));
            client.call("counter.increment", counter("b", 1, 7));
        }
        client.call("counter.decrement", counter("a", 1, 8));
        client.call("snapshot.create", {{"series", "a"}});
    }
    SUBCASE("at once") {
        check_over_crashes(daemon, [](Client& client) {
            CHECK(read_state(client) ==
                  State{{"a", {{{1, some_bucket}, 42}}}, {"b", {{{1, some_bucket}, 70}}}});
        });
    }
    SUBCASE("with more of everything after each snapshot") {
        std::uint64_t more = 0;
        check_over_crashes(daemon, [&](Client& client) {
            CHECK(read_state(client) ==
                  State{{"a", {{{1, some_bucket}, 42 + more}}}, {"b", {{{1, some_bucket}, 70 + more}}}});
            client.call("counter.increment", counter("a", 1, 1));
            client.call("counter.increment", counter("b", 1, 1));
            client.call("snapshot.create", {{"series", more % 2 == 0 ? "b" : "a"}});
            ++more;
            CHECK(read_state(client) ==
                  State{{"a", {{{1, some_bucket}, 42 + more}}}, {"b", {{{1, some_bucket}, 70 + more}}}});
        });
    }
}

TEST_CASE("defect 1: a snapshot of one series, then a crash: repeats of keyed requests stay repeats") {
    Daemon daemon;
    const json::object items{{"series", "a"}, {"items", json::array{item(1, 5), item(2, 6)}}};
    const auto deliver = [&](Client& client, bool again) {
        CHECK(is_repeat(client, "counter.increment", with_key(counter("a", 1, 5), "a")) == again);
        CHECK(is_repeat(client, "counter.increment", with_key(counter("b", 1, 7), "b")) == again);
        CHECK(is_repeat(client, "series.batch_add", with_key(items, "batch")) == again);
        CHECK(is_repeat(client, "counter.decrement", with_key(counter("a", 2, 4), "less")) == again);
    };
    const State state{{"a", {{{1, some_bucket}, 10}, {{2, some_bucket}, 2}}}, {"b", {{{1, some_bucket}, 7}}}};
    {
        Client client = daemon.connect();
        deliver(client, false);
        client.call("snapshot.create", {{"series", "a"}});
    }
    check_over_crashes(daemon, [&](Client& client) {
        CHECK(read_state(client) == state);
        deliver(client, true);
        CHECK(read_state(client) == state);
        client.call("snapshot.create", {{"series", "b"}});
    });
}

TEST_CASE("defect 2: a series dropped before snapshot.create_all is not back after a crash") {
    Daemon daemon;
    {
        Client client = daemon.connect();
        client.call("counter.increment", counter("a", 1, 5));
        client.call("counter.increment", counter("b", 1, 5));
        client.call("snapshot.create_all");
        client.call("tree.drop", {{"series", "a"}});
        client.call("snapshot.create_all");
    }
    check_over_crashes(daemon, [](Client& client) {
        CHECK(client.call("tree.list") == json::value(json::array{"b"}));
        CHECK(client.error_of("counter.sum", {{"series", "a"}, {"key", 1}}) == "not_found");
    });
}

TEST_CASE("defect 4: streams that are open during snapshot.create_all are there after a crash") {
    Daemon daemon;
    const std::vector<std::string> modes = {"add", "set", "replace_series"};
    {
        Client client = daemon.connect();
        client.call("counter.increment", counter("replace_series", 1, 3));
        for (const std::string& mode : modes) {
            client.call("ingest.begin", stream(mode, mode));
            client.call("ingest.chunk", chunk(mode, 1, {item(1, 5), item(2, 6)}, mode));
            client.call("ingest.chunk", chunk(mode, 2, {item(2, 7)}, mode));
        }
        client.call("ingest.begin", stream("empty", "add"));
        client.call("snapshot.create_all");
    }
    const State before{{"add", {{{1, some_bucket}, 5}, {{2, some_bucket}, 13}}},
                       {"set", {{{1, some_bucket}, 5}, {{2, some_bucket}, 7}}},
                       {"replace_series", {{{1, some_bucket}, 3}}}};
    const auto check_open = [&](Client& client) {
        CHECK(read_state(client) == before);
        CHECK(standing(client, "empty", "add") == json::array{"active", 0});
        for (const std::string& mode : modes) {
            CAPTURE(mode);
            CHECK(standing(client, mode, mode) == json::array{"active", 2});
            CHECK(is_skipped(client, chunk(mode, 2, {item(2, 7)}, mode)));
            CHECK(is_skipped(client, chunk(mode, 1, {item(1, 5), item(2, 6)}, mode)));
            CHECK(client.error_of("ingest.chunk", chunk(mode, 1, {item(1, 5)}, mode)) ==
                  "idempotency_conflict");
            CHECK(client.error_of("ingest.chunk", chunk(mode, 4, {item(1, 5)}, mode)) == "validation_error");
        }
        CHECK(read_state(client) == before);
    };
    SUBCASE("and go on") {
        check_over_crashes(daemon, check_open);
        {
            Client client = daemon.connect();
            for (const std::string& mode : modes) {
                CHECK(!is_skipped(client, chunk(mode, 3, {item(3, 8)}, mode)));
                client.call("ingest.commit", {{"stream_id", mode}});
            }
        }
        check_over_crashes(daemon, [&](Client& client) {
            CHECK(read_state(client) ==
                  State{{"add", {{{1, some_bucket}, 5}, {{2, some_bucket}, 13}, {{3, some_bucket}, 8}}},
                        {"set", {{{1, some_bucket}, 5}, {{2, some_bucket}, 7}, {{3, some_bucket}, 8}}},
                        {"replace_series",
                         {{{1, some_bucket}, 5}, {{2, some_bucket}, 7}, {{3, some_bucket}, 8}}}});
            for (const std::string& mode : modes)
                CHECK(standing(client, mode, mode) == json::array{"already_committed", 3});
        });
    }
    SUBCASE("and more of them after the snapshot") {
        daemon.restart_after_kill();
        {
            Client client = daemon.connect();
            client.call("ingest.chunk", chunk("replace_series", 3, {item(9, 1)}, "replace_series"));
            client.call("snapshot.create", {{"series", "replace_series"}});
            client.call("ingest.chunk", chunk("replace_series", 4, {item(9, 2)}, "replace_series"));
        }
        check_over_crashes(daemon, [&](Client& client) {
            CHECK(read_state(client) == before);
            CHECK(standing(client, "replace_series", "replace_series") == json::array{"active", 4});
        });
        daemon.connect().call("ingest.commit", {{"stream_id", "replace_series"}});
        check_over_crashes(daemon, [&](Client& client) {
            CHECK(read_points(client, "replace_series") ==
                  Points{{{1, some_bucket}, 5}, {{2, some_bucket}, 7}, {{9, some_bucket}, 2}});
        });
    }
    SUBCASE("and are aborted") {
        daemon.restart_after_kill();
        {
            Client client = daemon.connect();
            for (const std::string& mode : modes) client.call("ingest.abort", {{"stream_id", mode}});
        }
        check_over_crashes(daemon, [&](Client& client) {
            CHECK(read_state(client) == before);
            for (const std::string& mode : modes)
                CHECK(client.error_of("ingest.commit", {{"stream_id", mode}}) == "not_found");
        });
    }
}

TEST_CASE("defect 4: a series that is only staged does not exist, over crashes, until its commit") {
    Daemon daemon;
    {
        Client client = daemon.connect();
        client.call("ingest.begin", stream("i", "replace_series"));
        client.call("ingest.chunk", chunk("i", 1, {item(1, 5)}));
        client.call("snapshot.create_all");
    }
    check_over_crashes(daemon, [](Client& client) {
        CHECK(client.call("tree.list") == json::value(json::array{}));
        CHECK(client.error_of("snapshot.create", {{"series", "a"}}) == "not_found");
    });
    daemon.connect().call("ingest.commit", {{"stream_id", "i"}});
    check_over_crashes(daemon, [](Client& client) {
        CHECK(read_state(client) == State{{"a", {{{1, some_bucket}, 5}}}});
    });
}

TEST_CASE("defect 5: batches and chunks rejected for overflow leave nothing, and the daemon starts") {
    Daemon daemon;
    const State state{{"a", {{{1, some_bucket}, largest - 5}, {{2, some_bucket}, 1}}}};
    const json::array in_bucket{item(2, 1), item(1, 6)};
    const json::array in_total{item(2, 1), item(1, 6, some_bucket + 1)};
    const json::array in_itself{item(7, largest), item(7, 1, some_bucket + 1)};
    {
        Client client = daemon.connect();
        client.call("series.batch_add",
                    {{"series", "a"}, {"items", json::array{item(1, largest - 5), item(2, 1)}}});
        client.call("ingest.begin", stream("add", "add"));
        client.call("ingest.begin", stream("set", "set"));
        client.call("ingest.begin", stream("replace", "replace_series"));
    }
    const auto reject_all = [&](Client& client) {
        const std::uint64_t lsn = last_lsn(client);
        for (const json::array& items : {in_bucket, in_total, in_itself}) {
            const json::object add{{"series", "a"}, {"items", items}};
            CHECK(client.error_of("series.batch_add", add) == "validation_error");
            CHECK(client.error_of("series.batch_add", with_key(add, "k")) == "validation_error");
            CHECK(client.error_of("series.batch_add", {{"series", "new"}, {"items", in_itself}}) ==
                  "validation_error");
            CHECK(client.error_of("ingest.chunk", chunk("add", 1, items)) == "validation_error");
        }
        CHECK(client.error_of("counter.increment", counter("a", 1, 6)) == "validation_error");
        CHECK(client.error_of("counter.increment", with_key(counter("a", 1, 6), "k")) == "validation_error");
        for (const json::array& items : {in_total, in_itself}) {
            CHECK(client.error_of("series.batch_set", {{"series", "a"}, {"items", items}}) ==
                  "validation_error");
            CHECK(client.error_of("ingest.chunk", chunk("set", 1, items)) == "validation_error");
        }
        CHECK(client.error_of("ingest.chunk", chunk("replace", 1, in_itself)) == "validation_error");
        CHECK(last_lsn(client) == lsn);
    };
    check_over_crashes(daemon, [&](Client& client) {
        reject_all(client);
        CHECK(client.call("tree.list") == json::value(json::array{"a"}));
        CHECK(read_state(client) == state);
        CHECK(as_number(member(client.call("tree.info", {{"series", "a"}}), "key_count")) == 2);
        CHECK(standing(client, "add", "add") == json::array{"active", 0});
        CHECK(standing(client, "set", "set") == json::array{"active", 0});
        CHECK(standing(client, "replace", "replace_series") == json::array{"active", 0});
    });
    SUBCASE("with a snapshot") { daemon.connect().call("snapshot.create_all"); }
    SUBCASE("without one") {}
    // What was rejected has taken neither the key nor the place in the stream.
    daemon.restart_after_kill();
    {
        Client client = daemon.connect();
        CHECK(!is_repeat(client, "counter.increment", with_key(counter("a", 1, 5), "k")));
        CHECK(!is_skipped(client, chunk("add", 1, {item(2, 1)})));
    }
    check_over_crashes(daemon, [](Client& client) {
        CHECK(read_state(client) == State{{"a", {{{1, some_bucket}, largest}, {{2, some_bucket}, 2}}}});
    });
}

TEST_CASE("defect 6: other rejected requests leave nothing, and the daemon starts") {
    Daemon daemon;
    {
        Client client = daemon.connect();
        client.call("counter.increment", with_key(counter("a", 1, 5), "k"));
        client.call("ingest.begin", stream("open", "add"));
        client.call("ingest.chunk", chunk("open", 1, {item(1, 5)}));
        client.call("ingest.begin", stream("done", "set"));
        client.call("ingest.chunk", chunk("done", 1, {item(2, 5)}));
        client.call("ingest.commit", {{"stream_id", "done"}});
        client.call("ingest.begin", stream("empty", "replace_series"));
    }
    json::object other_granularity = stream("open", "add");
    other_granularity["granularity"] = "day";
    check_over_crashes(daemon, [&](Client& client) {
        const std::uint64_t lsn = last_lsn(client);
        CHECK(client.error_of("tree.drop", {{"series", "missing"}}) == "not_found");
        CHECK(client.error_of("counter.batch_reset", {{"series", "missing"}, {"keys", json::array{1}}}) ==
              "not_found");
        CHECK(client.error_of("counter.increment", with_key(counter("a", 1, 6), "k")) ==
              "idempotency_conflict");
        CHECK(client.error_of("ingest.begin", stream("open", "set")) == "idempotency_conflict");
        CHECK(client.error_of("ingest.begin", other_granularity) == "idempotency_conflict");
        CHECK(client.error_of("ingest.begin", stream("done", "add")) == "idempotency_conflict");
        CHECK(client.error_of("ingest.chunk", chunk("open", 3, {item(1, 5)})) == "validation_error");
        CHECK(client.error_of("ingest.chunk", chunk("open", 2, {item(1, 0)})) == "validation_error");
        CHECK(client.error_of("ingest.chunk", chunk("open", 2, {item(1, 5)}, "b")) == "validation_error");
        CHECK(client.error_of("ingest.chunk", chunk("open", 1, {item(1, 6)})) == "idempotency_conflict");
        CHECK(client.error_of("ingest.chunk", chunk("done", 1, {item(1, 6)})) == "idempotency_conflict");
        CHECK(client.error_of("ingest.chunk", chunk("none", 1, {item(1, 6)})) == "not_found");
        CHECK(client.error_of("ingest.commit", {{"stream_id", "empty"}}) == "validation_error");
        CHECK(client.error_of("ingest.commit", {{"stream_id", "none"}}) == "not_found");
        CHECK(client.error_of("ingest.abort", {{"stream_id", "done"}}) == "not_found");
        // Repeats are no events either.
        CHECK(is_repeat(client, "counter.increment", with_key(counter("a", 1, 5), "k")));
        CHECK(is_skipped(client, chunk("open", 1, {item(1, 5)})));
        CHECK(is_skipped(client, chunk("done", 1, {item(2, 5)})));
        CHECK(standing(client, "open", "add") == json::array{"active", 1});
        CHECK(standing(client, "done", "set") == json::array{"already_committed", 1});
        CHECK(last_lsn(client) == lsn);
        CHECK(client.call("tree.list") == json::value(json::array{"a"}));
        CHECK(read_state(client) == State{{"a", {{{1, some_bucket}, 10}, {{2, some_bucket}, 5}}}});
    });
}

namespace {

/// The file that the last events went to.
std::filesystem::path newest_log_file(const std::filesystem::path& directory) {
    std::filesystem::path newest;
    for (const auto& file : std::filesystem::directory_iterator(directory / "karma.db")) {
        if (file.path().extension() == ".log" &&
            (newest.empty() || newest.filename() < file.path().filename())) {
            newest = file.path();
        }
    }
    return newest;
}

}  // namespace

TEST_CASE(
    "defect 7: a log whose end is cut short by a crash: the daemon starts, without the last event only") {
    std::mt19937_64 engine = random_engine("cut log");
    Daemon daemon;
    std::uint64_t expected = 0;
    for (int round = 0; round < 6; ++round) {
        {
            Client client = daemon.connect();
            for (int i = 0; i < 5; ++i) {
                client.call("counter.increment", counter("links", 1, 1));
                ++expected;
            }
        }
        daemon.kill_hard();
        const std::filesystem::path log = newest_log_file(daemon.directory());
        const std::uintmax_t cut = random_between(engine, 1, 20);  // less than an event and its frame take
        REQUIRE(std::filesystem::file_size(log) > cut);
        std::filesystem::resize_file(log, std::filesystem::file_size(log) - cut);
        daemon.start();
        --expected;
        Client client = daemon.connect();
        REQUIRE(as_number(client.call("counter.sum", {{"series", "links"}, {"key", 1}})) == expected);
        REQUIRE(last_lsn(client) == expected);
        CHECK(member(client.call("snapshot.verify"), "status") == json::value("ok"));
        // What is written from now on is behind the cut, and still there after the next crash.
        client.call("counter.increment", counter("links", 1, 1));
        ++expected;
        daemon.restart_after_kill();
        Client later = daemon.connect();
        REQUIRE(as_number(later.call("counter.sum", {{"series", "links"}, {"key", 1}})) == expected);
    }
}

TEST_CASE("defect 9: snapshots of a series within one second are all kept, and each is what it was") {
    Daemon daemon;
    Client client = daemon.connect();
    for (int i = 0; i < 4; ++i) {
        client.call("counter.increment", counter("links", 1, 1));
        client.call("snapshot.create", {{"series", "links"}});
    }
    const json::value names = client.call("snapshot.list");
    REQUIRE(names.as_array().size() == 4);
    for (int i = 0; i < 4; ++i) {  // the newest comes first
        client.call("snapshot.load", {{"file", names.at(static_cast<std::size_t>(i))}});
        CHECK(as_number(client.call("counter.sum", {{"series", "links"}, {"key", 1}})) ==
              static_cast<std::uint64_t>(4 - i));
    }
}

}  // namespace karma::test
