// An export is of one snapshot: whatever happens while its files are fetched, they belong together.
#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <doctest/doctest.h>

#include "engine/error.h"
#include "persist/database.h"
#include "persist/export_manifest.h"
#include "persist/exports.h"
#include "persist/karma1/records_json.h"
#include "persist/memory_storage.h"
#include "persist/records_files.h"
#include "tests/persist/refusal.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

namespace json = boost::json;

struct ExportClock {
    std::chrono::steady_clock::time_point now{};
    MonotonicClock reader() {
        return [this] { return now; };
    }
};

DatabaseOptions without_threads() {
    DatabaseOptions options;
    options.threads = false;
    options.snapshots_retained = 1;
    options.event_retention_s = 0;
    return options;
}

void add_with_key(Database& database, const std::string& series, const std::string& key) {
    const Mutation body = mutation::Increment{series, 1, some_day, 1};
    database.call(Request(KeyedMutation{&body, key, {}}));
}

void commit_stream(Database& database, const std::string& series, const std::string& id) {
    const std::vector<mutation::Item> items = {{1, some_day, 1}};
    database.call(Mutation(mutation::BeginStream{id, IngestMode::add, {}}));
    database.call(Mutation(mutation::AddChunk{id, series, 1, items, nullptr}));
    database.call(Mutation(mutation::CommitStream{id}));
}

reply::ExportBegun begin(Database& database, std::optional<std::string_view> series = {},
                         bool is_new = true) {
    const Reply reply = database.call(query::BeginExport{series, is_new});
    if (const auto* const refused = std::get_if<Error>(&reply)) {
        throw RequestError(refused->code, refused->message);
    }
    return *std::get<Boxed<reply::ExportBegun>>(reply);
}

/// A file as a whole, fetched in parts.
std::string fetch(Database& database, const std::string& id, const std::string& file) {
    std::string bytes;
    while (true) {
        const Reply reply = database.call(query::FetchExport{id, file, bytes.size(), 100});
        if (const auto* const refused = std::get_if<Error>(&reply)) {
            throw RequestError(refused->code, refused->message);
        }
        const auto& part = std::get<reply::FileBytes>(reply);
        part.source->read(part.offset, std::min<std::uint64_t>(part.limit, part.total - part.offset), bytes);
        if (bytes.size() == part.total) {
            return bytes;
        }
    }
}

std::vector<std::string> texts(const json::value& all, const char* array, const char* member) {
    std::vector<std::string> texts;
    for (const json::value& one : all.at(array).as_array()) {
        texts.emplace_back(one.at(member).as_string());
    }
    return texts;
}

ErrorCode refusal(const std::function<void()>& work) {
    try {
        work();
    } catch (const RequestError& refused) {
        return refused.code();
    }
    FAIL("this was not refused");
    return ErrorCode::internal_error;
}

}  // namespace

TEST_CASE("export: pages, records, streams and checkpoints are of one snapshot, whatever comes after it") {
    MemoryStorage disk;
    const auto database = Database::open(without_threads(), disk);
    add_with_key(*database, "links", "before");
    commit_stream(*database, "links", "early");
    database->call(Mutation(mutation::SaveCheckpoint{"kafka", "5", {}}));
    const Lsn lsn = database->last_lsn();
    const reply::ExportBegun begun = begin(*database);
    CHECK(begun.lsn == lsn);
    const json::value contents = json::parse(fetch(*database, begun.id, begun.contents));
    const std::string tree(contents.at("files").at(0).at("file").as_string());
    const std::string bytes = fetch(*database, begun.id, tree);
    // Another state, another snapshot, and nothing is kept that need not be.
    add_with_key(*database, "links", "after");
    add_with_key(*database, "more", "else");
    commit_stream(*database, "links", "late");
    database->call(Mutation(mutation::SaveCheckpoint{"kafka", "581", {}}));
    for (int i = 0; i < 3; ++i) {
        database->increment("links", 1, 1, some_day);
        database->save_snapshot();
        database->apply_retention();
    }
    CHECK(fetch(*database, begun.id, tree) == bytes);
    CHECK(texts(contents, "files", "tree") == std::vector<std::string>{"links"});
    CHECK(contents.at("checkpoints").at(0).at("offset") == json::value("5"));
    const json::value records = json::parse(fetch(*database, begun.id, "karma.idempotency.json"));
    CHECK(texts(records, "records", "key") == std::vector<std::string>{"before"});
    CHECK(texts(records, "committed_streams", "stream_id") == std::vector<std::string>{"early"});
    // Then its pages go as those of others.
    const auto manifests = [&] {
        std::size_t count = 0;
        disk.scan(Table::snapshots, "m", [&](std::string_view, std::string_view) { return ++count != 0; });
        return count;
    };
    const std::size_t with_export = manifests();
    CHECK(std::holds_alternative<reply::Ok>(database->call(query::EndExport{begun.id})));
    database->apply_retention();
    CHECK(manifests() < with_export);
    CHECK(code_of(database->call(query::EndExport{begun.id})) == ErrorCode::not_found);
    CHECK(code_of(database->call(query::FetchExport{begun.id, tree, 0, 1})) == ErrorCode::not_found);
}

TEST_CASE("export: of one series come only its pages, records and streams") {
    MemoryStorage disk;
    DatabaseOptions options = without_threads();
    options.wal_batch_size = 1;
    const auto database = Database::open(options, disk);
    add_with_key(*database, "links", "of links");
    add_with_key(*database, "other", "of others");
    commit_stream(*database, "links", "links");
    commit_stream(*database, "other", "other");
    database->increment("a/b", 1, 1, some_day);
    const reply::ExportBegun begun = begin(*database, "links");
    const json::value contents = json::parse(fetch(*database, begun.id, begun.contents));
    CHECK(texts(contents, "files", "tree") == std::vector<std::string>{"links"});
    CHECK(contents.at("records").at("left_out") == json::value(0));
    const json::value records = json::parse(fetch(*database, begun.id, "karma.idempotency.json"));
    CHECK(texts(records, "records", "key") == std::vector<std::string>{"of links"});
    CHECK(texts(records, "committed_streams", "stream_id") == std::vector<std::string>{"links"});
    // Whose a record is that is older than the log cannot be told.
    disk.erase_log_below(2);
    const reply::ExportBegun again = begin(*database, "links", false);
    CHECK(json::parse(fetch(*database, again.id, again.contents)).at("records").at("left_out") ==
          json::value(1));
    CHECK(refusal([&] { begin(*database, "none"); }) == ErrorCode::not_found);
}

TEST_CASE("export: the latest snapshot of everything, not one of a series") {
    MemoryStorage disk;
    const auto database = Database::open(without_threads(), disk);
    CHECK(refusal([&] { begin(*database, {}, false); }) == ErrorCode::not_found);
    add_with_key(*database, "links", "one");
    database->save_snapshot();
    const Lsn lsn = database->last_lsn();
    add_with_key(*database, "links", "two");
    database->call(control::SaveSnapshot{"links"});
    const reply::ExportBegun begun = begin(*database, {}, false);
    CHECK(begun.lsn == lsn);
    const json::value records = json::parse(fetch(*database, begun.id, "karma.idempotency.json"));
    CHECK(texts(records, "records", "key") == std::vector<std::string>{"one"});
    CHECK(code_of(database->call(query::FetchExport{begun.id, "other", 0, 1})) == ErrorCode::not_found);
    CHECK(code_of(database->call(query::FetchExport{begun.id, begun.contents, 1U << 20U, 1})) ==
          ErrorCode::validation_error);
}

TEST_CASE("export: a few at once, and one that nobody asks anything of ends") {
    MemoryStorage disk;
    const auto database = Database::open(without_threads(), disk);
    database->increment("links", 1, 1, some_day);
    database->save_snapshot();
    SnapshotStore snapshots(disk);
    ExportClock clock;
    Exports exports(clock.reader());
    const auto open = [&](const std::string& id) {
        exports.reserve(id);
        exports.fill(id, std::make_shared<Export>(snapshots.pin_newest_full().value()));
    };
    for (std::size_t i = 1; i < Exports::open_max; ++i) {
        open(std::to_string(i));
    }
    exports.reserve("being made");
    CHECK(refusal([&] { open("one more"); }) == ErrorCode::validation_error);
    CHECK(refusal([&] { exports.find("being made"); }) == ErrorCode::not_found);
    clock.now += Exports::idle_max;
    CHECK(exports.find("1") != nullptr);
    clock.now += Exports::idle_max;
    open("one more");  // all are idle but the first one and the one that is being made
    CHECK(exports.find("1") != nullptr);
    CHECK(refusal([&] { exports.find("2"); }) == ErrorCode::not_found);
    CHECK(exports.end("being made"));
}

TEST_CASE("export: where all places are taken the one that was idle longest gives up its own") {
    MemoryStorage disk;
    const auto database = Database::open(without_threads(), disk);
    database->save_snapshot();
    SnapshotStore snapshots(disk);
    ExportClock clock;
    Exports exports(clock.reader());
    const auto open = [&](const std::string& id) {
        exports.reserve(id);
        exports.fill(id, std::make_shared<Export>(snapshots.pin_newest_full().value()));
    };
    for (std::size_t i = 1; i <= Exports::open_max; ++i) {
        open(std::to_string(i));
        clock.now += std::chrono::seconds(1);
    }
    static_cast<void>(exports.find("1"));
    CHECK(refusal([&] { open("at once"); }) == ErrorCode::validation_error);
    clock.now += Exports::idle_while_full_max;
    open("later");
    CHECK(refusal([&] { exports.find("2"); }) == ErrorCode::not_found);
    CHECK(exports.find("1") != nullptr);
    CHECK(exports.find("3") != nullptr);
    CHECK(exports.find("later") != nullptr);
}

TEST_CASE("export: a manifest in which a bit has changed is damaged, and one without a hash is read") {
    ExportManifest manifest;
    manifest.lsn = 12;
    manifest.series = 1;
    manifest.digest = std::string(32, 'd');
    manifest.database_id = {1, 2};
    manifest.files.push_back({"1_links.tree", 78, std::string(64, 'a')});
    const std::string text = encoded(manifest);
    CHECK(decoded_export_manifest(text) == manifest);
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string changed = text;
        changed[i] = static_cast<char>(changed[i] ^ 1);
        std::optional<ExportManifest> read;
        try {
            read = decoded_export_manifest(changed);
        } catch (const CorruptionError&) {
            continue;
        }
        CHECK(read == manifest);  // the name of the hash has changed
    }
    const std::string earlier = text.substr(0, text.rfind(",\"sha256\"")) + "}\n";
    CHECK(decoded_export_manifest(earlier) == manifest);
}

TEST_CASE("export: clients that fetch the records of different snapshots do not get parts of each other's") {
    MemoryStorage disk;
    const auto database = Database::open(without_threads(), disk);
    const auto part = [&](std::uint64_t offset, std::optional<Lsn> lsn = {}) {
        const Reply reply = database->call(query::FetchRecords{offset, 100, lsn});
        if (const auto* const refused = std::get_if<Error>(&reply)) {
            throw RequestError(refused->code, refused->message);
        }
        const auto& bytes = std::get<reply::FileBytes>(reply);
        std::string text;
        bytes.source->read(offset, std::min<std::uint64_t>(100, bytes.total - offset), text);
        return std::pair(text, std::get<reply::IdempotencySnapshot>(bytes.about));
    };
    const auto rest = [&](std::string text, std::optional<Lsn> lsn) {
        while (true) {
            const auto [bytes, about] = part(text.size(), lsn);
            text += bytes;
            if (text.size() == about.bytes) return text;
        }
    };
    add_with_key(*database, "links", "a key of the first snapshot");
    database->save_snapshot();
    auto [first, of_first] = part(0);
    add_with_key(*database, "links", "b");
    database->save_snapshot();
    // As long as only one is being fetched, its offset tells which it is.
    CHECK(part(100).second.last_lsn == of_first.last_lsn);
    const auto second_part = part(0);
    const std::string& second = second_part.first;
    const Lsn second_lsn = second_part.second.last_lsn;
    CHECK(second_lsn > of_first.last_lsn);
    auto [again, of_again] = part(0, of_first.last_lsn);
    CHECK(again == first);
    CHECK(of_again.last_lsn == of_first.last_lsn);
    CHECK(refusal([&] { part(100); }) == ErrorCode::validation_error);  // either may be meant
    const auto keys = [](const std::string& text) { return texts(json::parse(text), "records", "key"); };
    CHECK(keys(rest(first, of_first.last_lsn)) == std::vector<std::string>{"a key of the first snapshot"});
    CHECK(keys(rest(second, second_lsn)).size() == 2);
    CHECK(refusal([&] { part(0, second_lsn + 1); }) == ErrorCode::not_found);
}

TEST_CASE("export: who asks for a part of the records again, or whose file is gone, gets no other file's") {
    MemoryStorage disk;
    const auto database = Database::open(without_threads(), disk);
    const auto part = [&](std::uint64_t offset, std::uint64_t limit) {
        const Reply reply = database->call(query::FetchRecords{offset, limit, {}});
        if (const auto* const refused = std::get_if<Error>(&reply)) {
            throw RequestError(refused->code, refused->message);
        }
        return std::get<reply::IdempotencySnapshot>(std::get<reply::FileBytes>(reply).about).last_lsn;
    };
    const auto save_another = [&] {
        add_with_key(*database, "links", "key " + std::to_string(database->last_lsn()));
        database->save_snapshot();
    };
    save_another();
    const Lsn first = part(0, 100);
    SUBCASE("the reply of a part is lost, and meanwhile another client begins") {
        CHECK(part(100, 10) == first);
        save_another();
        CHECK(part(0, 100) > first);
        CHECK(refusal([&] { part(100, 10); }) == ErrorCode::validation_error);  // either may be meant
        CHECK(part(0, 90) > first);
        CHECK(part(90, 60) > first);
        CHECK(part(90, 60) > first);  // nobody has asked for that of the first one
    }
    SUBCASE("one client after the other") {
        CHECK(part(100, 1'000'000) == first);
        save_another();
        CHECK(part(0, 100) > first);
        CHECK(part(100, 1'000'000) > first);
    }
    SUBCASE("the file is gone") {
        for (std::size_t i = 0; i + 1 < RecordsFiles::kept_max; ++i) {
            save_another();
            CHECK(part(0, 50) > first);
        }
        save_another();
        const Lsn last = part(0, 100);
        CHECK(last > first);
        CHECK(refusal([&] { part(100, 100); }) == ErrorCode::validation_error);  // no certain file
        CHECK(part(0, 110) == last);
        CHECK(part(110, 10) == last);
    }
}

TEST_CASE("records: totals of 128 bits are read as they were written, and nothing else is taken for one") {
    const auto total_of = [](const std::string& total, const std::string& key = "k") {
        const std::string text = R"({"records":[{"key":")" + key +
                                 R"(","operation":"batch_add","fingerprint":")" + std::string(64, 'a') +
                                 R"(","response":{"applied":2,"total":)" + total +
                                 R"(},"created_at_unix":1}],"committed_streams":[]})";
        Uint128 read = 0;
        read_records_json(
            text,
            [&](const IdempotencyRecord& record) {
                CHECK(json::serialize(json::value(record.key)) == '"' + key + '"');
                CHECK(record.response[0] == 2);
                read = (Uint128{record.response[1]} << 64U) | record.response[2];
            },
            [](const StreamInfo&) {});
        return read;
    };
    for (const std::string total :
         {"0", "18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211455"}) {
        CAPTURE(total);
        CHECK(to_decimal(total_of(total)) == total);
        CHECK(to_decimal(total_of(total, R"(of \"99999999999999999999999\",99999999999999999999999,\\)")) ==
              total);
    }
    for (const std::string total : {"340282366920938463463374607431768211456", "18446744073709551616.5",
                                    "-18446744073709551616", "1e30", "\"x\"", "null"}) {
        CAPTURE(total);
        CHECK_THROWS_AS(total_of(total), CorruptionError);
    }
}

}  // namespace karma::test
